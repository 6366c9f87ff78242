#include "runtime/rootfs/rootfs.hh"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/rootfs/sources.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

// What becomes of init's copy of the caller's mounts. Shared ones stay shared only when the plan
// wants the root shared, because only then may what the container mounts be seen outside.
// MS_UNBINDABLE would forbid the clones that follow: it is set on the root at the end.
unsigned long copied_mounts_propagation(Propagation of_root) {
  switch (of_root) {
    case Propagation::shared:
    case Propagation::rshared:
      return 0;
    case Propagation::rprivate:
      return MS_PRIVATE;
    default:
      return MS_SLAVE;
  }
}

bool is_slave(Propagation propagation) {
  return propagation == Propagation::slave || propagation == Propagation::rslave;
}

bool is_shared(Propagation propagation) {
  return propagation == Propagation::shared || propagation == Propagation::rshared;
}

// Attaching the root to a shared mount would show it on the host. Only the root of a mount takes
// the change, so the path is shortened until it is one.
void make_containing_mount_private(std::string path) {
  while (mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) < 0) {
    if (errno != EINVAL || path == "/") throw SysError("make the mount of the root private");
    const size_t slash = path.rfind('/');
    path.resize(slash == 0 || slash == path.npos ? 1 : slash);
    path[0] = '/';
  }
}

}  // namespace

RootfsSetup::RootfsSetup(const Plan& plan, CgroupLayout layout, RootfsServices& services,
                         const std::map<std::string, std::string>& cgroup_paths,
                         bool cgroups_complete)
    : plan_(plan), rootfs_(plan.rootfs), environment_{plan, layout,       services,
                                                      -1,   cgroup_paths, cgroups_complete,
                                                      {},   {},           {}} {}

RootfsSetup::~RootfsSetup() {
  if (umask_changed_) umask(caller_umask_);
}

void RootfsSetup::prepare() {
  caller_umask_ = umask(0);
  umask_changed_ = true;

  if (rootfs_.root_switch == RootSwitch::chroot) {
    root_ = Fd(open(rootfs_.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root_) throw SysError("open the root " + rootfs_.path);
    environment_.root = root_.get();
    return;
  }

  if (const unsigned long flag = copied_mounts_propagation(rootfs_.propagation))
    if (mount(nullptr, "/", nullptr, MS_REC | flag, nullptr) < 0)
      throw SysError("make the copied mounts private or slave");

  // On its own path, so that createContainer hooks find it there. Where init cannot reach that,
  // they cannot either, and on top of "/" is as good.
  Fd target(open(rootfs_.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (target) {
    root_ = clone_tree(target.get(), "", AT_RECURSIVE);
    if (is_shared(rootfs_.propagation)) make_containing_mount_private(rootfs_.path);
  } else if (errno == EACCES) {
    root_ = environment_.services.open_root();
    target = Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (is_shared(rootfs_.propagation)) make_containing_mount_private("/");
  }
  if (!target) throw SysError("open the root " + rootfs_.path);

  PendingChanges changes;
  if (!is_slave(rootfs_.propagation) && rootfs_.propagation != Propagation::rprivate)
    changes.apply(root_.get(), {0, 0, MS_PRIVATE, true});
  attach_tree(root_.get(), target.get());
  changes.finish(root_.get(), environment_);
  environment_.root = root_.get();
  environment_.done.add(std::move(target));
}

void RootfsSetup::mounts() {
  for (size_t i = 0; i < rootfs_.mounts.size(); ++i) {
    const MountStep& step = rootfs_.mounts[i];
    try {
      run_mount(environment_, step, i);
    } catch (Error& error) {
      error.prepend("mounts[" + std::to_string(step.index) + "] (" + step.destination + ")");
      throw;
    }
  }
  // Mounting has moved the working directory about.
  if (fchdir(root_.get()) < 0) throw SysError("fchdir to the root");
}

void RootfsSetup::finish() {
  for (const Fd& mount : environment_.readonly_at_finish) {
    const MountChange readonly{MOUNT_ATTR_RDONLY, 0, 0, false};
    PendingChanges change;
    change.apply(mount.get(), readonly);
    change.finish(mount.get(), environment_);
  }
  environment_.readonly_at_finish.clear();

  // Without a mount of its own the root is the host's directory and stays as it is.
  if (rootfs_.root_switch != RootSwitch::chroot) {
    MountChange propagation;
    if (!is_slave(rootfs_.propagation) && rootfs_.propagation != Propagation::private_ &&
        rootfs_.propagation != Propagation::rprivate)
      propagation = propagation_change(rootfs_.propagation);
    MountChange own{rootfs_.readonly ? uint64_t{MOUNT_ATTR_RDONLY} : 0, 0, 0, false};
    if (!propagation.recursive) own.propagation = propagation.propagation;
    PendingChanges changes;
    changes.apply(root_.get(), own);
    if (propagation.recursive) changes.apply(root_.get(), propagation);
    changes.finish(root_.get(), environment_);
  }

  umask(caller_umask_);
  umask_changed_ = false;
}

}  // namespace vessel
