// Owns: waiting for a process in the foreground: its terminal, the caller's signals, reaping.
// Does not own: starting it, or what happens to its container afterwards.
#pragma once

#include <sys/types.h>
#include <csignal>
#include <functional>

#include "runtime/sys/fd.hh"

namespace vessel {

// From construction on signals are kept for wait(); to be made before the clone, which unblocks
// them in the child. `subreaper`: orphans of the container come to this process.
class Foreground {
 public:
  explicit Foreground(bool subreaper);
  ~Foreground();
  Foreground(const Foreground&) = delete;
  Foreground& operator=(const Foreground&) = delete;

  // Forwards every signal, follows the window's size, reaps. `master` may be empty. Returns the
  // exit code of `pid`: its own, or 128 + the signal. `other`: a descriptor to listen to besides
  // (-1: none) until `on_other`, called when there is something to read, returns true.
  int wait(pid_t pid, const Fd& pidfd, Fd master, int other = -1,
           const std::function<bool()>& on_other = {});

 private:
  Fd signals_;
  sigset_t saved_;
};

// Gives a terminal the size of the caller's, if it has one: before the program starts, which may
// ask at once.
void take_callers_size(int terminal);

}  // namespace vessel
