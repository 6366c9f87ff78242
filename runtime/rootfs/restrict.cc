#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>

#include "runtime/rootfs/rootfs.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

// A path that this kernel or image does not have needs no protection.
Fd open_if_there(int root, const std::string& path) {
  Fd fd = try_resolve_in_root(root, path, O_PATH);
  if (!fd && errno != ENOENT && errno != ENOTDIR) throw SysError("open it in the container's root");
  return fd;
}

}  // namespace

void RootfsSetup::restrict_paths() {
  for (const std::string& path : rootfs_.readonly_paths) {
    try {
      make_readonly(path);
    } catch (Error& error) {
      error.prepend("readonlyPaths: " + path);
      throw;
    }
  }
  for (const std::string& path : rootfs_.masked_paths) {
    try {
      mask(path);
    } catch (Error& error) {
      error.prepend("maskedPaths: " + path);
      throw;
    }
  }
}

void RootfsSetup::make_readonly(const std::string& path) {
  Fd target = open_if_there(root_.get(), path);
  if (!target) return;
  // With what is mounted below, which keeps its own options, as with runc.
  Fd tree = clone_tree(target.get(), "", AT_RECURSIVE);
  PendingChanges readonly;
  readonly.apply(tree.get(), {MOUNT_ATTR_RDONLY, 0, 0, false});
  attach_tree(tree.get(), target.get());
  readonly.finish(tree.get(), environment_);
  environment_.done.add(std::move(tree));
  environment_.done.add(std::move(target));
}

void RootfsSetup::mask(const std::string& path) {
  Fd target = open_if_there(root_.get(), path);
  if (!target) return;
  struct stat status {};
  if (fstat(target.get(), &status) < 0) throw SysError("fstat");
  if (S_ISDIR(status.st_mode)) {
    if (!masked_directory_) masked_directory_ = mask_for_directories();
    masked_directory_.attach(target.get(), environment_.done);
  } else {
    if (!masked_file_) set_file_mask(clone_tree(null_.get(), "", 0));
    const bool first = !masked_file_.attached();
    masked_file_.attach(target.get(), environment_.done);
    if (first) masked_readonly_.finish(masked_file_.mount(), environment_);
  }
  environment_.done.add(std::move(target));
}

// Read-only, or chmod of the masked file would change the device node behind it, which may be the
// host's.
void RootfsSetup::set_file_mask(Fd null_device) {
  masked_readonly_.apply(null_device.get(), {MOUNT_ATTR_RDONLY, 0, 0, false});
  masked_file_ = Replicator(std::move(null_device));
}

Replicator RootfsSetup::mask_for_directories() {
  FsContext context("tmpfs");
  context.set("source", "tmpfs");
  context.set("nr_inodes", "1");
  if (!rootfs_.mount_label.empty()) context.set("context", rootfs_.mount_label);
  context.set_flag("ro");
  Fd mount =
      context.mount(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  environment_.done.add(context.release());
  return Replicator(std::move(mount));
}

}  // namespace vessel
