// Owns: running another program and waiting for it: hooks, newuidmap, ps.
// Does not own: what a failure means to the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vessel {

struct ProgramCall {
  std::string path;               // absolute
  std::vector<std::string> args;  // with args[0]; empty: {path}
  std::vector<std::string> env;   // "NAME=value"
  std::string_view input;         // what it reads on stdin
  std::optional<int64_t> timeout_seconds;
  // Its stdout is the caller's; otherwise stdout and stderr are kept for the error message.
  bool inherit_output = false;
  bool whole_output = false;  // all of stdout (up to 16 MiB) is wanted, not only its end
  std::optional<unsigned> umask;
  // Its working directory, where that can be entered; otherwise the caller's.
  std::string directory;
};

struct ProgramResult {
  int wait_status = 0;
  bool timed_out = false;
  std::string output;  // the last 4 KiB of stdout and stderr, trimmed
};

// Descriptors beyond stdio are closed in it; the signal mask is empty. Throws SysError when the
// program cannot be executed ("exec /path: No such file or directory").
ProgramResult run_program(const ProgramCall& call);

// "exit status 1", "signal 9", "timed out", with the output behind it.
std::string describe(const ProgramResult& result);

}  // namespace vessel
