// Owns: how the command of a RUN, CMD or ENTRYPOINT becomes an argument vector.
// Does not own: running it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "builder/dockerfile/instruction.hh"

namespace kiln::stage {

// A here-document that begins with `#!`: an executable file (mode 0755) to be shown to the command,
// read-only, at `path`.
struct Script {
  std::string path;  // /dev/pipes/NAME
  std::string data;
};

struct Invocation {
  std::vector<std::string> argv;
  std::optional<Script> script;
};

inline constexpr const char* default_path =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The words behind `shell` (/bin/sh -c when that is empty), or as they are in JSON form.
std::vector<std::string> argv_of(const dockerfile::CommandLine& command,
                                 const std::vector<std::string>& shell);

// The same with here-documents: a lone one is the shell's program text or, with `#!`, a script;
// others are put back behind the line for the shell to read.
Invocation invocation_of(const dockerfile::Run& run, const std::vector<std::string>& shell);

}  // namespace kiln::stage
