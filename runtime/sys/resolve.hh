// Owns: turning a path inside a root into a descriptor without ever leaving that root.
// Does not own: what is then done with the descriptor.
//
// DESIGN rule 1: a path in a container's root is never a string that the host resolves. The kernel
// does it (openat2 with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS, 5.6); where openat2 is refused,
// a walk component by component over held descriptors does.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/sys/fd.hh"

namespace vessel {

enum class Symlinks : uint8_t {
  follow,  // inside the root
  refuse   // ELOOP for any symbolic link on the way or at the end
};

// Opens `path` (absolute or not: always from `root`) with open(2) `flags`; O_CLOEXEC is added.
// O_NOFOLLOW keeps a link at the end. `mode` is for O_CREAT. Throws SysError ("open /etc/passwd
// in the container's root").
Fd resolve_in_root(int root, std::string_view path, int flags, mode_t mode = 0,
                   Symlinks symlinks = Symlinks::follow);

// The same, an empty Fd with errno set instead of an exception.
Fd try_resolve_in_root(int root, std::string_view path, int flags, mode_t mode = 0,
                       Symlinks symlinks = Symlinks::follow) noexcept;

// Opens (O_PATH) the directory `path`, making what is missing of it with `mode`, each directory
// under the held descriptor of its parent (CVE-2021-30465, CVE-2024-45310). Throws SysError.
Fd make_directory_in_root(int root, std::string_view path, mode_t mode = 0755);

// Opens (O_PATH) whatever lies at `path`; an empty regular file is made there if nothing does.
Fd make_file_in_root(int root, std::string_view path, mode_t mode = 0644);

// The usual case of the two above, in few calls: nothing is there yet, all but the last component
// is, and no symbolic link is on the way. An empty Fd with errno otherwise, and then the ones above
// find out what is right. The file's descriptor is open for reading; the directory's is O_PATH.
Fd try_make_file_in_root(int root, std::string_view path, mode_t mode = 0644) noexcept;
Fd try_make_directory_in_root(int root, std::string_view path, mode_t mode = 0755) noexcept;

// The directory that holds `path` (made if missing) and the last component's name, which must not
// be empty, "." or "..": for mknodat(2), symlinkat(2) and unlinkat(2).
struct ParentInRoot {
  Fd directory;
  std::string name;
};
ParentInRoot make_parent_in_root(int root, std::string_view path, mode_t mode = 0755);

}  // namespace vessel
