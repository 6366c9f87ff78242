// Owns: --pid-file: when its directory is looked for and when it is written.
// Does not own: which process is meant.
#pragma once

#include <sys/types.h>

#include <string>

#include "runtime/sys/fd.hh"

namespace vessel {

// Made before anything of the container exists, so that a directory that is not there is an error
// by then; written once the process has started, the digits alone, whole or not at all.
class PidFile {
 public:
  PidFile() = default;  // none is wanted
  // An empty path is none. Throws Error naming the file, as `write` does.
  explicit PidFile(const std::string& path);
  void write(pid_t pid) const;

 private:
  std::string path_, name_;
  Fd directory_;
};

}  // namespace vessel
