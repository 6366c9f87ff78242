#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/rootfs/rootfs.hh"
#include "runtime/rootfs/sources.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr uint32_t null_major = 1, null_minor = 3;

mode_t type_bits(DeviceType type) {
  switch (type) {
    case DeviceType::character:
      return S_IFCHR;
    case DeviceType::block:
      return S_IFBLK;
    case DeviceType::fifo:
      return S_IFIFO;
  }
  return 0;
}

bool is_null(const DeviceStep& step) {
  return step.type == DeviceType::character && step.major == null_major && step.minor == null_minor;
}

Fd open_entry(const ParentInRoot& parent) {
  Fd fd(openat(parent.directory.get(), parent.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) throw SysError("open " + parent.name);
  return fd;
}

// config-linux.md "Devices": what is there already and does not match is an error.
void check_existing(const ParentInRoot& parent, const DeviceStep& step) {
  const Fd fd = open_entry(parent);
  struct stat status {};
  if (fstat(fd.get(), &status) < 0) throw SysError("fstat");
  if ((status.st_mode & S_IFMT) != type_bits(step.type) ||
      (step.type != DeviceType::fifo && status.st_rdev != makedev(step.major, step.minor)))
    throw Error("something else lies there already");
}

void give_to_owner(const ParentInRoot& parent, const DeviceStep& step) {
  if (step.uid == 0 && step.gid == 0) return;
  if (fchownat(parent.directory.get(), parent.name.c_str(), step.uid, step.gid,
               AT_SYMLINK_NOFOLLOW) < 0)
    throw SysError("chown to " + std::to_string(step.uid) + ":" + std::to_string(step.gid));
}

// What a node is bound on. A link that the image left there is not followed, and not mounted on
// either (CVE-2025-31133, CVE-2025-52565).
Fd make_bind_target(const ParentInRoot& parent, mode_t mode) {
  const bool made = mknodat(parent.directory.get(), parent.name.c_str(), S_IFREG | mode, 0) == 0;
  if (!made && errno != EEXIST) throw SysError("make a file to bind on");
  Fd target = open_entry(parent);
  if (made) return target;
  struct stat status {};
  if (fstat(target.get(), &status) < 0) throw SysError("fstat");
  if (!S_ISREG(status.st_mode) && !S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode))
    throw Error("what lies there is neither a file nor a device");
  return target;
}

}  // namespace

void RootfsSetup::devices() {
  for (size_t i = 0; i < rootfs_.devices.size(); ++i) {
    const DeviceStep& step = rootfs_.devices[i];
    try {
      make_device(step, i);
    } catch (Error& error) {
      error.prepend("device " + step.path);
      throw;
    }
  }
  for (const SymlinkStep& step : rootfs_.symlinks) {
    try {
      make_symlink(step);
    } catch (Error& error) {
      error.prepend("link " + step.path);
      throw;
    }
  }
  // Masking needs one, also when the plan has no devices (the host's /dev as a bind).
  if (!null_ && !rootfs_.masked_paths.empty()) {
    DeviceStep host_null;
    host_null.path = "/dev/null";
    host_null.major = null_major;
    host_null.minor = null_minor;
    set_file_mask(open_device_source(host_null));
  }
}

// Nearly all entries share /dev: its descriptor is kept from one to the next.
const ParentInRoot& RootfsSetup::parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (last_parent_.directory && slash != path.npos && slash + 1 < path.size() &&
      path.compare(0, slash, last_parent_path_) == 0) {
    last_parent_.name = path.substr(slash + 1);
    if (last_parent_.name != "." && last_parent_.name != "..") return last_parent_;
  }
  environment_.done.add(std::move(last_parent_.directory));
  last_parent_ = make_parent_in_root(root_.get(), path);
  last_parent_path_ = slash == path.npos ? "" : path.substr(0, slash);
  return last_parent_;
}

void RootfsSetup::make_device(const DeviceStep& step, size_t index) {
  const ParentInRoot& parent = parent_of(step.path);
  const int directory = parent.directory.get();
  const char* name = parent.name.c_str();
  const bool by_bind = step.by_bind && step.type != DeviceType::fifo;

  if (by_bind) {
    bind_device(parent, step, index);
  } else if (mknodat(directory, name, type_bits(step.type) | step.mode,
                     makedev(step.major, step.minor)) == 0) {
    give_to_owner(parent, step);
  } else if (errno == EEXIST) {
    check_existing(parent, step);
    give_to_owner(parent, step);
  } else if (errno == EPERM && step.type != DeviceType::fifo) {
    // The caller has no CAP_MKNOD in the first user namespace.
    bind_device(parent, step, index);
  } else {
    throw SysError("mknod");
  }
  if (is_null(step) && step.path == "/dev/null" && !rootfs_.masked_paths.empty())
    null_ = open_entry(parent);
}

void RootfsSetup::bind_device(const ParentInRoot& parent, const DeviceStep& step, size_t index) {
  Fd tree;
  try {
    tree = open_device_source(step);
  } catch (const SysError& error) {
    if (error.code() != EACCES) throw;
    tree = environment_.services.open_device(index);
  }
  Fd target = make_bind_target(parent, 0644);
  attach_tree(tree.get(), target.get());
  environment_.done.add(std::move(tree));
  environment_.done.add(std::move(target));
}

void RootfsSetup::make_symlink(const SymlinkStep& step) {
  // Not every kernel has /proc/kcore, and a dangling link confuses those who list /dev.
  if (step.path == "/dev/core" && !try_resolve_in_root(root_.get(), step.target, O_PATH)) return;
  const ParentInRoot& parent = parent_of(step.path);
  const int directory = parent.directory.get();
  const char* name = parent.name.c_str();
  if (symlinkat(step.target.c_str(), directory, name) == 0) return;
  // What an image brings as /dev/fd and its like is left alone; /dev/ptmx must be this container's.
  if (errno == EEXIST && step.path != "/dev/ptmx") return;
  if (errno == EEXIST && unlinkat(directory, name, 0) == 0 &&
      symlinkat(step.target.c_str(), directory, name) == 0)
    return;
  throw SysError("symlink");
}

void RootfsSetup::bind_console(int slave) {
  try {
    const ParentInRoot& parent = parent_of("/dev/console");
    Fd target = make_bind_target(parent, 0620);
    Fd tree = clone_tree(slave, "", 0);
    attach_tree(tree.get(), target.get());
    environment_.done.add(std::move(tree));
    environment_.done.add(std::move(target));
  } catch (Error& error) {
    error.prepend("bind the terminal on /dev/console");
    throw;
  }
}

}  // namespace vessel
