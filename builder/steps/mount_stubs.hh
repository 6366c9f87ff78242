// Owns: the mount points that a step needs and the image lacks: making them before the step and
// taking them away after it, so that they never become part of a layer.
// Does not own: what is mounted on them.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "builder/sys/fd.hh"

namespace kiln {

// Everything is made and removed through descriptors of the directories that were resolved inside
// the root (CVE-2024-23652: a clean-up by path string removes files of the host). A directory's
// times are put back to what they were before a stub came into it or went.
class MountStubs {
 public:
  explicit MountStubs(int root) : root_(root) {}  // borrowed; must outlive this
  ~MountStubs();
  MountStubs(const MountStubs&) = delete;
  MountStubs& operator=(const MountStubs&) = delete;

  // Makes sure that `path` exists as a directory or as a file (anything but a directory), links
  // followed inside the root; missing parents are made too. Returns the path where it really is,
  // inside the root, absolute. Throws Error when something of another type is there.
  std::string need(std::string_view path, bool directory);

  // Removes what need() made and still is as it was made (an empty file, an empty directory).
  // Idempotent. Errors are not reported: what cannot be removed has become the step's own.
  void remove() noexcept;

 private:
  struct Stub {
    Fd parent;
    std::string name;
    bool directory;
    uint64_t device, inode;
    timespec parent_atime, parent_mtime;  // before the stub came
    timespec parent_with_stub;            // mtime right after
  };
  int root_;
  std::vector<Stub> stubs_;
};

}  // namespace kiln
