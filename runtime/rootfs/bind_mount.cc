#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>

#include "runtime/rootfs/mount_step.hh"
#include "runtime/rootfs/rootfs.hh"
#include "runtime/rootfs/sources.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

bool is_served(const Plan& plan, const MountStep& step) {
  if (!std::holds_alternative<BindMount>(step.what) || step.remount) return false;
  if (step.idmap) return true;
  return (plan.namespaces.new_user || plan.namespaces.joined_user) && !plan.rootless;
}

// The parent's clones are peers of the host's shared mounts. In init's own copy of the mounts
// prepare() has already made them what the plan says of the root; the clones follow it.
MountChange inherited_propagation(Propagation of_root) {
  if (of_root == Propagation::shared || of_root == Propagation::rshared) return {};
  return {0, 0, of_root == Propagation::rprivate ? uint64_t{MS_PRIVATE} : uint64_t{MS_SLAVE}, true};
}

// move_mount(2) says EINVAL where mount(2) said ENOTDIR, by which engines know the case.
void refuse_other_kind(int source, int target, const std::string& name) {
  struct stat from {
  }, to{};
  if (fstat(source, &from) < 0 || fstat(target, &to) < 0) return;
  const bool directory = S_ISDIR(from.st_mode);
  if (directory == S_ISDIR(to.st_mode)) return;
  throw SysError("the source " + name +
                     (directory ? " is a directory, but the destination is a file"
                                : " is a file, but the destination is a directory"),
                 ENOTDIR);
}

template <typename Attach>
void attach_source(int source, int target, const BindMount& bind, Attach attach) {
  try {
    attach();
  } catch (const SysError& e) {
    if (e.code() == EINVAL) refuse_other_kind(source, target, bind.source);
    throw;
  }
}

}  // namespace

std::vector<size_t> served_sources(const Plan& plan) {
  std::vector<size_t> served;
  for (size_t i = 0; i < plan.rootfs.mounts.size(); ++i)
    if (is_served(plan, plan.rootfs.mounts[i])) served.push_back(i);
  return served;
}

void mount_bind(MountEnvironment& environment, const MountStep& step, size_t index,
                const BindMount& bind) {
  const bool served = is_served(environment.plan, step);
  if (Fd finished = served ? Fd() : try_clone_finished(step, bind)) {
    Fd target = open_bind_target(environment, step, finished.get());
    attach_source(finished.get(), target.get(), bind,
                  [&] { attach(finished.get(), target.get()); });
    environment.done.add(std::move(finished));
    environment.done.add(std::move(target));
    return;
  }
  Fd tree = served ? environment.services.open_source(index) : open_bind_source(bind);
  Fd target = open_bind_target(environment, step, tree.get());
  PendingChanges inherited;
  if (served && step.propagation == Propagation::none)
    inherited.apply(tree.get(), inherited_propagation(environment.plan.rootfs.propagation));
  attach_source(tree.get(), target.get(), bind,
                [&] { place(environment, tree.get(), target.get(), step, 0, !bind.recursive); });
  inherited.finish(tree.get(), environment);
  environment.done.add(std::move(tree));
  environment.done.add(std::move(target));
}

}  // namespace vessel
