#include "runtime/sys/mount_api.hh"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "runtime/sys/error.hh"
#include "runtime/sys/procfs.hh"

namespace vessel {

namespace {

struct AttributeName {
  uint64_t attribute;
  unsigned long flag;  // of mount(2)
  const char* name;
};

constexpr unsigned long ms_nosymfollow = 256;  // 5.10; not in every libc's <sys/mount.h>

constexpr AttributeName attribute_names[] = {
    {MOUNT_ATTR_RDONLY, MS_RDONLY, "ro"},
    {MOUNT_ATTR_NOSUID, MS_NOSUID, "nosuid"},
    {MOUNT_ATTR_NODEV, MS_NODEV, "nodev"},
    {MOUNT_ATTR_NOEXEC, MS_NOEXEC, "noexec"},
    {MOUNT_ATTR_NOATIME, MS_NOATIME, "noatime"},
    {MOUNT_ATTR_STRICTATIME, MS_STRICTATIME, "strictatime"},
    {MOUNT_ATTR_NODIRATIME, MS_NODIRATIME, "nodiratime"},
    {MOUNT_ATTR_NOSYMFOLLOW, ms_nosymfollow, "nosymfollow"},
};

// statvfs(3) reports a mount's flags; remounting replaces all of them, so they are read first.
uint64_t attributes_now(int mount) {
  struct statvfs now {};
  if (fstatvfs(mount, &now) < 0) throw SysError("fstatvfs of the mount");
  constexpr unsigned long st_nosymfollow = 0x2000;
  uint64_t attributes = 0;
  if (now.f_flag & ST_RDONLY) attributes |= MOUNT_ATTR_RDONLY;
  if (now.f_flag & ST_NOSUID) attributes |= MOUNT_ATTR_NOSUID;
  if (now.f_flag & ST_NODEV) attributes |= MOUNT_ATTR_NODEV;
  if (now.f_flag & ST_NOEXEC) attributes |= MOUNT_ATTR_NOEXEC;
  if (now.f_flag & ST_NODIRATIME) attributes |= MOUNT_ATTR_NODIRATIME;
  if (now.f_flag & st_nosymfollow) attributes |= MOUNT_ATTR_NOSYMFOLLOW;
  if (now.f_flag & ST_NOATIME)
    attributes |= MOUNT_ATTR_NOATIME;
  else if (!(now.f_flag & ST_RELATIME))
    attributes |= MOUNT_ATTR_STRICTATIME;
  return attributes;
}

constexpr long sys_open_tree_attr = 467;  // on every architecture; newer than Debian 12's headers

mount_attr attributes_of(const MountChange& change) {
  mount_attr attributes{};
  attributes.attr_set = change.set;
  attributes.attr_clr = change.clear;
  // The access time is one field of three bits: setting any value clears all of it first.
  if ((change.set | change.clear) & MOUNT_ATTR__ATIME) attributes.attr_clr |= MOUNT_ATTR__ATIME;
  attributes.propagation = change.propagation;
  return attributes;
}

}  // namespace

Fd try_clone_tree(int dir, const char* path, unsigned flags) noexcept {
  if (*path == '\0') flags |= AT_EMPTY_PATH;
  return Fd(open_tree(dir, path, flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}

Fd try_clone_changed_tree(int dir, const char* path, unsigned flags,
                          const MountChange& change) noexcept {
  static bool unknown = false;  // to this kernel; asked once
  if (unknown) {
    errno = ENOSYS;
    return Fd();
  }
  if (*path == '\0') flags |= AT_EMPTY_PATH;
  const mount_attr attributes = attributes_of(change);
  Fd tree(static_cast<int>(syscall(sys_open_tree_attr, dir, path,
                                   flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, &attributes,
                                   sizeof attributes)));
  if (!tree && errno == ENOSYS) unknown = true;
  return tree;
}

Fd clone_tree(int dir, const char* path, unsigned flags) {
  Fd tree = try_clone_tree(dir, path, flags);
  if (!tree) throw SysError(*path ? "open_tree " + std::string(path) : std::string("open_tree"));
  return tree;
}

bool try_attach_tree(int tree, int target) noexcept {
  return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
}

void attach_tree(int tree, int target) {
  if (!try_attach_tree(tree, target)) throw SysError("move_mount");
}

FsContext::FsContext(const std::string& type) : context_(fsopen(type.c_str(), FSOPEN_CLOEXEC)) {
  if (!context_) throw SysError("fsopen " + type);
}

FsContext FsContext::of_mount(int mount) {
  Fd context(fspick(mount, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH));
  if (!context) throw SysError("fspick");
  return FsContext(std::move(context));
}

void FsContext::reconfigure() {
  if (fsconfig(context_.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) < 0)
    fail("reconfigure the file system");
}

void FsContext::fail(std::string operation) {
  const int error = errno;
  // The context's log: lines "e tmpfs: Bad value for 'size'", one a read.
  char line[512];
  const ssize_t length = read(context_.get(), line, sizeof line);
  if (length > 2) {
    std::string_view text(line + 2, static_cast<size_t>(length) - 2);
    while (text.ends_with('\n')) text.remove_suffix(1);
    operation += " (" + std::string(text) + ")";
  }
  throw SysError(operation, error);
}

void FsContext::set(const std::string& key, const std::string& value) {
  if (fsconfig(context_.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0) < 0)
    fail("fsconfig " + key + "=" + value);
}

void FsContext::set_flag(const std::string& key) {
  if (fsconfig(context_.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0) < 0)
    fail("fsconfig " + key);
}

Fd FsContext::mount(uint64_t attributes) {
  if (fsconfig(context_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
    fail("create the file system");
  Fd mount(fsmount(context_.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!mount) fail("fsmount");
  return mount;
}

bool try_change_mount(int mount, const MountChange& change) noexcept {
  mount_attr attributes = attributes_of(change);
  const unsigned flags = AT_EMPTY_PATH | (change.recursive ? unsigned{AT_RECURSIVE} : 0u);
  return mount_setattr(mount, "", flags, &attributes, sizeof attributes) == 0;
}

void change_attached_mount(int mount, const MountChange& change, const ProcFs& procfs) {
  if (change.recursive && (change.set | change.clear) != 0)
    throw Error("recursive mount options need mount_setattr (Linux 5.12)");
  // mount(2) takes a path. "self/fd/N" below the checked procfs is one that nobody can redirect.
  if (fchdir(procfs.get()) < 0) throw SysError("fchdir to procfs");
  const std::string path = "self/fd/" + std::to_string(mount);
  if ((change.set | change.clear) != 0) {
    uint64_t clear = change.clear;
    if ((change.set | change.clear) & MOUNT_ATTR__ATIME) clear |= MOUNT_ATTR__ATIME;
    const uint64_t wanted = (attributes_now(mount) & ~clear) | change.set;
    unsigned long flags = mount_flags_of(wanted);
    if (!(wanted & MOUNT_ATTR__ATIME)) flags |= MS_RELATIME;
    if (::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT | MS_BIND | flags, nullptr) < 0)
      throw SysError("remount " + mount_attribute_names(wanted));
  }
  if (change.propagation != 0) {
    const unsigned long recursive = change.recursive ? static_cast<unsigned long>(MS_REC) : 0;
    if (::mount(nullptr, path.c_str(), nullptr, change.propagation | recursive, nullptr) < 0)
      throw SysError("change the mount's propagation");
  }
}

unsigned long mount_flags_of(uint64_t attributes) noexcept {
  unsigned long flags = 0;
  for (const AttributeName& entry : attribute_names)
    if (attributes & entry.attribute) flags |= entry.flag;
  return flags;
}

std::string mount_attribute_names(uint64_t attributes) {
  std::string names;
  for (const AttributeName& entry : attribute_names) {
    if (!(attributes & entry.attribute)) continue;
    if (!names.empty()) names += ',';
    names += entry.name;
  }
  return names.empty() ? "rw" : names;
}

}  // namespace vessel
