// Owns: the monitor, the one process beside a container that was started with `run --detach
// --log-output`: it holds the output, writes the log, records how the process ended, and deletes.
// Does not own: create and start as orchestrators call them, which never make one.
//
// The monitor is forked off first and makes the container itself, so that init is its child; the
// caller waits for one answer on a pipe:
//
//   vessel run --detach --log-output FILE ID
//     └─ monitor (new session)
//          create and start: init gets the pipes, or a terminal whose master stays here
//          "" (end of the pipe after one zero byte): running     or the text of an error
//          copies output to the log until init has ended; exit.json; delete with --rm; ends
//
// Killed with SIGKILL it leaves the container running. The container holds its output pipes open
// for reading too, so that its writes block when they are full rather than kill it.
#pragma once

#include <string>

#include "runtime/container/monitored.hh"
#include "runtime/operations/create.hh"

namespace vessel {

struct MonitorRequest {
  CreateRequest create;
  std::string log;  // a path, or "auto": BUNDLE/ID.log
  uint64_t log_size = 0;
  bool remove = false;
};

// Returns when the container's process has executed its program. Throws what went wrong.
void run_monitored(MonitorRequest request);

// Whether run_monitored_again() is what `start` means. Any doubt is left to start_container().
bool can_start_again(const std::string& root, const std::string& id);

// `start` of a stopped container that had a monitor: the same bundle and options under the same id.
// When that fails the container stays as it was, stopped.
void run_monitored_again(const std::string& root, const std::string& id);

}  // namespace vessel
