// Owns: the system calls of the fd-based mount API, wrapped once, with their errors worded.
// Does not own: what is mounted where.
//
// Mounts are made detached and attached to a descriptor, so no path is looked up twice. open_tree,
// move_mount, fsopen, fsconfig and fsmount are in every kernel that vessel supports (5.2);
// mount_setattr is newer (5.12) and probed by use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/sys/fd.hh"

namespace vessel {

class ProcFs;

// A detached clone of the mount at `path` (relative to `dir`; "" is `dir` itself), as of open(2)'s
// AT_* `flags`: AT_RECURSIVE takes what is mounted below along, AT_SYMLINK_NOFOLLOW does not follow
// a link at the end. The descriptor is O_PATH. Throws SysError.
Fd clone_tree(int dir, const char* path, unsigned flags);
Fd try_clone_tree(int dir, const char* path, unsigned flags) noexcept;

// Puts the detached mount `tree` on top of what `target` refers to. False with errno on failure.
bool try_attach_tree(int tree, int target) noexcept;
void attach_tree(int tree, int target);

// A file system being configured. The calls throw SysError that carries the kernel's own message
// where it left one: `fsconfig size=64x (tmpfs: Bad value for 'size'): Invalid argument`.
class FsContext {
 public:
  explicit FsContext(const std::string& type);
  void set(const std::string& key, const std::string& value);
  void set_flag(const std::string& key);
  // `attributes`: MOUNT_ATTR_* of the mount. Returns the detached mount.
  Fd mount(uint64_t attributes);

  // The descriptor, when it has served: to be closed together with others.
  Fd release() { return static_cast<Fd&&>(context_); }

  // The superblock of an existing mount, to change its options.
  static FsContext of_mount(int mount);
  void reconfigure();

 private:
  explicit FsContext(Fd context) : context_(static_cast<Fd&&>(context)) {}
  [[noreturn]] void fail(std::string operation);
  Fd context_;
};

// One change of a mount's flags; all of it or nothing. Bits are MOUNT_ATTR_*; propagation is 0 or
// one of MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE.
struct MountChange {
  uint64_t set = 0, clear = 0;
  uint64_t propagation = 0;
  bool recursive = false;
  bool empty() const { return set == 0 && clear == 0 && propagation == 0; }
};

// By mount_setattr(2). False with errno: ENOSYS before 5.12 (or where a filter hides it).
bool try_change_mount(int mount, const MountChange& change) noexcept;

// try_clone_tree and try_change_mount in one call (open_tree_attr(2), 6.15). AT_RECURSIVE among
// `flags` holds for both. Empty with errno; ENOSYS, or EPERM of a filter: use the two.
Fd try_clone_changed_tree(int dir, const char* path, unsigned flags,
                          const MountChange& change) noexcept;

// By remount through `procfs`, for an *attached* mount: the way that every kernel has. Recursive
// flag changes are not possible this way (propagation is) and throw Error.
void change_attached_mount(int mount, const MountChange& change, const ProcFs& procfs);

// MOUNT_ATTR_* bits as mount(2) flags.
unsigned long mount_flags_of(uint64_t attributes) noexcept;

// "ro,nosuid" for messages.
std::string mount_attribute_names(uint64_t attributes);

}  // namespace vessel
