// Owns: the gate at which a created container waits, and how `start` opens it and learns what
// became of execve. Does not own: the state file, or who may start.
//
// The gate is a pipe that is full. The waiting process writes one byte more: that blocks until
// somebody reads, and needs no system call but write(2), which any profile has to allow anyhow.
// `start` reads everything, then waits: the end of file means that execve closed the descriptor
// (close-on-exec), text means that it failed. For create the pipe is a FIFO in the state directory,
// for run (only with a seccomp listener, whose descriptor the parent must fetch first) an anonymous
// one.
#pragma once

#include <string>
#include <string_view>

#include "runtime/sys/fd.hh"

namespace vessel {

inline constexpr const char* exec_fifo_name = "exec.fifo";

// The waiting end, close-on-exec and already full; for the process to inherit. Throws SysError.
Fd make_exec_fifo(int state_dir);

// The anonymous gate: the process inherits `waiting`, the caller keeps `opening`.
struct Gate {
  Fd waiting, opening;
};
Gate make_gate();

// In the waiting process: returns when the gate was opened. One write(2), no allocation. Who was to
// open it is dead: the process exits (or dies by SIGPIPE where that is not ignored).
void wait_at_gate(int gate) noexcept;
// In the waiting process, after execve failed.
void tell_gate(int gate, std::string_view error) noexcept;

// Opens the FIFO for `start`. Empty when there is none (already started).
Fd open_exec_fifo(int state_dir);
// Lets the process pass: takes out what filled the pipe. False when nobody waits there any more.
bool open_gate(const Fd& gate);
// Waits until execve happened or failed; gives the error's text, empty when it happened.
// `pidfd` may be empty.
std::string wait_for_exec(const Fd& gate, const Fd& pidfd);

}  // namespace vessel
