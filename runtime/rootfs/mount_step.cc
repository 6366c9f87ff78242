#include "runtime/rootfs/mount_step.hh"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/sys/error.hh"
#include "runtime/sys/resolve.hh"

namespace vessel {

namespace {

// Nobody who wrote "/data" meant procfs; an image that makes /data a link into it did
// (CVE-2019-16884). Destinations that say /proc themselves are the plan's to judge.
void refuse_procfs(int target, const std::string& destination) {
  struct statfs fs {};
  if (fstatfs(target, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC)
    throw Error("a symbolic link in the root leads from " + destination +
                " into a proc file system");
}

// A mount there would be hidden: processes inside start from the root below it.
void refuse_root(int target, int root, const std::string& destination) {
  struct stat at {
  }, top{};
  if (fstat(target, &at) == 0 && fstat(root, &top) == 0 && at.st_dev == top.st_dev &&
      at.st_ino == top.st_ino)
    throw Error("a symbolic link in the root leads from " + destination + " to the root itself");
}

// Most destinations have no link on the way, and then one call settles it. An empty result means
// that nothing is there yet.
Fd find_target(int root, const MountStep& step, int flags) {
  Fd target = try_resolve_in_root(root, step.destination, flags, 0, Symlinks::refuse);
  if (target) return target;
  if (errno == ELOOP) {
    if (step.no_symlink_at_target)
      throw Error(
          "the destination is or lies behind a symbolic link in the root; this file system "
          "is only mounted on an ordinary directory");
    target = try_resolve_in_root(root, step.destination, flags);
    if (target) {
      refuse_procfs(target.get(), step.destination);
      if (!step.remount) refuse_root(target.get(), root, step.destination);
      return target;
    }
  }
  if (errno != ENOENT) throw SysError("open the destination");
  return Fd();
}

struct Changes {
  MountChange own, recursive;
};

Changes changes_of(const MountStep& step, uint64_t already, bool one_mount = false) {
  // The mount's own options first, then the recursive ones, which then hold for it too.
  Changes changes{{step.attributes.set & ~already, step.attributes.clear, 0, false},
                  {step.recursive_attributes.set, step.recursive_attributes.clear, 0, true}};
  const MountChange propagation = propagation_change(step.propagation);
  // One call for both where there is nothing below the mount.
  const bool recursive = propagation.recursive && !one_mount;
  (recursive ? changes.recursive : changes.own).propagation = propagation.propagation;
  return changes;
}

// Option "remount": a mount that is there already, by an earlier entry or from the caller.
void remount(MountEnvironment& environment, const MountStep& step) {
  Fd target = find_target(environment.root, step, O_PATH);
  if (!target) throw SysError("remount what is not there", ENOENT);
  if (const auto* filesystem = std::get_if<FilesystemMount>(&step.what);
      filesystem && (!filesystem->options.empty() || filesystem->readonly_superblock))
    reconfigure(target.get(), *filesystem);
  const Changes changes = changes_of(step, 0);
  PendingChanges pending;
  pending.apply(target.get(), changes.own);
  pending.apply(target.get(), changes.recursive);
  pending.finish(target.get(), environment);
  environment.done.add(std::move(target));
}

}  // namespace

const ProcFs& MountEnvironment::proc() {
  if (!procfs) procfs = ProcFs::open();
  return *procfs;
}

void run_mount(MountEnvironment& environment, const MountStep& step, size_t index) {
  if (step.remount)
    remount(environment, step);
  else if (const auto* filesystem = std::get_if<FilesystemMount>(&step.what))
    mount_filesystem(environment, step, index, *filesystem);
  else if (const auto* bind = std::get_if<BindMount>(&step.what))
    mount_bind(environment, step, index, *bind);
  else
    mount_cgroup(environment, step, std::get<CgroupMount>(step.what));
}

DirectoryTarget open_directory_target(const MountEnvironment& environment, const MountStep& step) {
  Fd target = find_target(environment.root, step, O_PATH | O_DIRECTORY);
  if (target) return {std::move(target), false};
  target = try_make_directory_in_root(environment.root, step.destination);
  if (target) return {std::move(target), true};
  target = make_directory_in_root(environment.root, step.destination);
  refuse_procfs(target.get(), step.destination);
  return {std::move(target), true};
}

Fd open_bind_target(const MountEnvironment& environment, const MountStep& step, int source) {
  Fd target = find_target(environment.root, step, O_PATH);
  if (target) return target;
  struct stat status {};
  if (fstat(source, &status) < 0) throw SysError("fstat the source");
  const bool directory = S_ISDIR(status.st_mode);
  target = directory ? try_make_directory_in_root(environment.root, step.destination)
                     : try_make_file_in_root(environment.root, step.destination);
  if (target) return target;
  return directory ? make_directory_in_root(environment.root, step.destination)
                   : make_file_in_root(environment.root, step.destination);
}

void PendingChanges::apply(int detached, const MountChange& change) {
  if (change.empty() || try_change_mount(detached, change)) return;
  // ENOSYS: a kernel before 5.12. EPERM: a filter that hides the call, or a flag that is locked;
  // the older way fails for the latter too.
  if (errno != ENOSYS && errno != EPERM) throw SysError("set mount options");
  pending_.push_back({change, errno});
}

void PendingChanges::finish(int attached, MountEnvironment& environment) const {
  for (const Pending& pending : pending_) {
    const MountChange& change = pending.change;
    if (change.recursive && (change.set | change.clear) && pending.error == EPERM)
      throw SysError(change.clear ? "clear " + mount_attribute_names(change.clear) +
                                        ", recursively (locked in a user namespace?)"
                                  : "set recursive mount options",
                     pending.error);
    try {
      change_attached_mount(attached, change, environment.proc());
    } catch (Error& error) {
      if (change.clear)
        error.prepend("clear " + mount_attribute_names(change.clear) +
                      " (locked in a user namespace?)");
      throw;
    }
  }
}

void attach(int tree, int target) {
  if (try_attach_tree(tree, target)) return;
  if (errno == ENOTDIR) throw Error("a file cannot be mounted on a directory or the reverse");
  throw SysError("move_mount");
}

Fd try_clone_finished(const MountStep& step, const BindMount& bind) noexcept {
  if (bind.recursive || step.idmap) return Fd();
  const auto [own, recursive] = changes_of(step, 0, true);
  if (own.empty() || !recursive.empty()) return Fd();
  return try_clone_changed_tree(AT_FDCWD, bind.source.c_str(), 0, own);
}

void place(MountEnvironment& environment, int tree, int target, const MountStep& step,
           uint64_t already, bool one_mount) {
  const auto [own, recursive] = changes_of(step, already, one_mount);
  PendingChanges changes;
  changes.apply(tree, own);
  changes.apply(tree, recursive);
  attach(tree, target);
  changes.finish(tree, environment);
}

void place_host_tree(MountEnvironment& environment, const char* path, unsigned flags, int target,
                     const MountStep& step, uint64_t more_attributes) {
  Fd tree = clone_tree(AT_FDCWD, path, flags);
  MountStep adjusted = step;
  adjusted.attributes.set |= more_attributes;
  place(environment, tree.get(), target, adjusted);
  environment.done.add(std::move(tree));
}

bool try_mount_on(int directory, const char* source, const char* type, unsigned long flags,
                  const char* data) noexcept {
  return fchdir(directory) == 0 && ::mount(source, ".", type, flags, data) == 0;
}

bool matters_for_new_mount(Propagation propagation) {
  switch (propagation) {
    case Propagation::none:
    case Propagation::private_:
    case Propagation::rprivate:
    case Propagation::slave:
    case Propagation::rslave:
      return false;
    default:
      return true;
  }
}

MountChange propagation_change(Propagation propagation) {
  MountChange change;
  switch (propagation) {
    case Propagation::none:
      break;
    case Propagation::rshared:
      change.recursive = true;
      [[fallthrough]];
    case Propagation::shared:
      change.propagation = MS_SHARED;
      break;
    case Propagation::rslave:
      change.recursive = true;
      [[fallthrough]];
    case Propagation::slave:
      change.propagation = MS_SLAVE;
      break;
    case Propagation::rprivate:
      change.recursive = true;
      [[fallthrough]];
    case Propagation::private_:
      change.propagation = MS_PRIVATE;
      break;
    case Propagation::runbindable:
      change.recursive = true;
      [[fallthrough]];
    case Propagation::unbindable:
      change.propagation = MS_UNBINDABLE;
      break;
  }
  return change;
}

}  // namespace vessel
