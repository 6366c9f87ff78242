// Owns: deleting, beside a build and behind it in line for CPU and disk, what earlier commands only
// renamed into trash/. Does not own: what gets there, or `prune`, which waits for it to be empty.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "builder/store/store.hh"
#include "builder/sys/fd.hh"

namespace kiln {

class TrashRemoval {
 public:
  // Begins with what is there now; with nothing there is no thread. Several processes may do it at
  // once.
  explicit TrashRemoval(const Store& store);
  ~TrashRemoval();  // stops, in the midst of a tree if need be: the next one goes on
  TrashRemoval(const TrashRemoval&) = delete;
  TrashRemoval& operator=(const TrashRemoval&) = delete;

 private:
  struct Trash {
    Fd directory;
    std::vector<std::string> names;
  };
  void remove() noexcept;

  std::vector<Trash> trash_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace kiln
