// Owns: the process that runs steps in place: made before kiln's first thread and before the root
// is taken over, so that nothing of kiln need be there to be executed; it puts mounts down, runs
// the command, ends what is left of it, and undoes everything also when kiln itself is killed.
// Does not own: what the root holds (snapshot/in_place_root.hh).
#pragma once

#include <sys/types.h>

#include <set>
#include <string>

#include "builder/snapshot/remove_files.hh"
#include "builder/steps/runtime_call.hh"
#include "builder/sys/fd.hh"

namespace kiln {

//   kiln → server   PATH of a bundle with config.json, and its standard output and error
//                   "\n" to end what runs
//   server → kiln   "status N", or "failed TEXT" when the command never ran; then, each behind a
//                   NUL, the file_id_text() of copied files that the command gave other names
// A closed socket ends what runs and the server.
class InPlaceServer {
 public:
  // `journal`: directory of what is put down. Forks: call with one thread only.
  explicit InPlaceServer(int journal);
  ~InPlaceServer();  // ends it and waits
  InPlaceServer(const InPlaceServer&) = delete;
  InPlaceServer& operator=(const InPlaceServer&) = delete;

  // One at a time: start, then wait (stop before that where it shall end early).
  void start(const std::string& bundle, int out, int err);
  void stop() noexcept;
  RuntimeEnd wait();
  // After wait(): PlacedMounts::left_files().
  const std::set<FileId>& left_files() const { return left_files_; }

 private:
  Fd socket_;
  pid_t pid_ = -1;
  std::set<FileId> left_files_;
};

}  // namespace kiln
