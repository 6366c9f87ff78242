#include "runtime/rootfs/sources.hh"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "runtime/sys/error.hh"
#include "runtime/sys/mount_api.hh"

namespace vessel {

Fd open_root_tree(const RootfsPlan& rootfs) {
  return clone_tree(AT_FDCWD, rootfs.path.c_str(), AT_RECURSIVE);
}

Fd open_bind_source(const BindMount& bind) {
  return clone_tree(AT_FDCWD, bind.source.c_str(), bind.recursive ? AT_RECURSIVE : 0u);
}

void apply_idmap(int tree, int user_namespace, bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<__u64>(user_namespace);
  const unsigned flags = AT_EMPTY_PATH | (recursive ? unsigned{AT_RECURSIVE} : 0u);
  if (mount_setattr(tree, "", flags, &attributes, sizeof attributes) == 0) return;
  switch (errno) {
    case ENOSYS:
      throw SysError("id-mapped mounts need mount_setattr (Linux 5.12)");
    case EINVAL:
      throw SysError("id-map the mount (does its file system support id-mapped mounts?)");
    default:
      throw SysError("id-map the mount");
  }
}

Fd open_device_source(const DeviceStep& device) {
  Fd tree = clone_tree(AT_FDCWD, device.path.c_str(), AT_SYMLINK_NOFOLLOW);
  struct stat status {};
  if (fstat(tree.get(), &status) < 0) throw SysError("fstat " + device.path);
  const mode_t wanted = device.type == DeviceType::character ? S_IFCHR
                        : device.type == DeviceType::block   ? S_IFBLK
                                                             : S_IFIFO;
  const bool numbered = device.type != DeviceType::fifo;
  if ((status.st_mode & S_IFMT) != wanted ||
      (numbered && status.st_rdev != makedev(device.major, device.minor)))
    throw Error("the host's " + device.path + " is not the device " + std::to_string(device.major) +
                ":" + std::to_string(device.minor));
  return tree;
}

}  // namespace vessel
