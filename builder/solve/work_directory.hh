// Owns: the directory that one kiln process works in (bundles, secrets, downloads), and ending and
// removing what a killed one left behind.
// Does not own: what is put there.
#pragma once

#include <string>

#include "builder/sys/fd.hh"

namespace kiln::solve {

// DIR/NAME, held by a lock for as long as the object lives. Everything in DIR that nobody holds is
// of a dead process: containers that are still running from bundles there are deleted by the
// runtime that started them, then the files go.
class WorkDirectory {
 public:
  // `directory` exists; `runtime_state` is the --root that build containers are started with.
  WorkDirectory(const std::string& directory, const std::string& runtime_state);
  ~WorkDirectory();
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;

  const std::string& path() const { return path_; }
  // Remembered for whoever has to clean up.
  void set_runtime(const std::string& runtime) const;

 private:
  Fd parent_;
  std::string name_, path_;
  Fd own_;
};

// A bundle in a work directory is a directory of this name; its container has the same.
inline constexpr std::string_view bundle_prefix = "kiln-";

}  // namespace kiln::solve
