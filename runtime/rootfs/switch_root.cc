#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "runtime/rootfs/host_views.hh"
#include "runtime/rootfs/rootfs.hh"
#include "runtime/sys/error.hh"

namespace vessel {

void RootfsSetup::switch_root() {
  if (fchdir(root_.get()) < 0) throw SysError("fchdir to the root");
  switch (rootfs_.root_switch) {
    case RootSwitch::pivot:
      detach_old_root();
      break;
    case RootSwitch::move:
      move_root();
      break;
    case RootSwitch::chroot:
      if (chroot(".") < 0) throw SysError("chroot");
      break;
  }
}

// pivot_root(2) "pivot_root(".", ".")": no directory for the old root is needed, it ends on top of
// the new one, from where one umount takes it away with everything below.
void RootfsSetup::detach_old_root() {
  // A detached mount pays 50 to 85 µs for an umount of its own when it is closed. Given to the old
  // root it goes away with the one umount of all, and its descriptor stays usable. Not on "/"
  // itself: the umount below would then take this one instead of the old root.
  if (environment_.procfs && environment_.procfs->is_private())
    static_cast<void>(
        move_mount(environment_.procfs->get(), "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH));

  const bool shared =
      rootfs_.propagation == Propagation::shared || rootfs_.propagation == Propagation::rshared;
  Fd old_root;
  if (shared) {
    old_root = Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!old_root) throw SysError("open the old root");
  }
  if (syscall(SYS_pivot_root, ".", ".") < 0) {
    if (errno == EINVAL)
      throw SysError("pivot_root (is the host's root a ramdisk? then use --no-pivot)");
    throw SysError("pivot_root");
  }
  if (shared) {
    // Still peers of the host's mounts: the umount must not travel there.
    if (fchdir(old_root.get()) < 0) throw SysError("fchdir to the old root");
    if (mount(nullptr, ".", nullptr, MS_SLAVE | MS_REC, nullptr) < 0)
      throw SysError("make the old root slave");
  }
  if (umount2(".", MNT_DETACH) < 0) throw SysError("umount the old root");
  if (shared && fchdir(root_.get()) < 0) throw SysError("fchdir to the root");
}

// --no-pivot: the old root stays below. Full views of procfs and sysfs in it would let the
// container mount new ones without the masks: they go first.
void RootfsSetup::move_root() {
  remove_host_views(environment_.proc().read("self/mountinfo"), rootfs_.path);
  if (move_mount(root_.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
    throw SysError("move the root to /");
  if (fchdir(root_.get()) < 0) throw SysError("fchdir to the root");
  if (chroot(".") < 0) throw SysError("chroot");
}

}  // namespace vessel
