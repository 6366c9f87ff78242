// Owns: descriptors that nobody needs any more, closed together.
// Does not own: descriptors still in use.
#pragma once

#include <vector>

#include "runtime/sys/fd.hh"

namespace vessel {

// Setting up a root opens about a hundred descriptors for a moment each. Numbers are handed out
// lowest first, so those that are done with lie side by side: one close_range(2) for each run of
// neighbours instead of one close(2) each.
class FdBatch {
 public:
  FdBatch() = default;
  FdBatch(FdBatch&&) = default;
  FdBatch& operator=(FdBatch&&) = default;
  ~FdBatch() { close_all(); }

  // Takes over `fd`; an empty one is ignored.
  void add(Fd fd);
  void close_all() noexcept;

 private:
  std::vector<int> fds_;
};

}  // namespace vessel
