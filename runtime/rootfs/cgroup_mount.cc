#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/rootfs/mount_step.hh"
#include "runtime/rootfs/self_cgroups.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr const char* host_hierarchies = "/sys/fs/cgroup";
constexpr const char* hybrid_directory = "unified";
// runc's for every cgroup mount, whatever the config says beyond them.
constexpr uint64_t cgroup_attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

// config-linux.md: without a cgroup namespace of its own, a container in a user namespace must not
// get the caller's whole tree writable (CVE-2023-25809).
bool must_be_readonly(const MountEnvironment& environment) {
  return environment.in_user_namespace() &&
         !environment.plan.namespaces.is_private(NamespaceKind::cgroup);
}

void cover_with_nothing(MountEnvironment& environment, int target) {
  FsContext context("tmpfs");
  context.set("source", "tmpfs");
  context.set("mode", "555");
  context.set("size", "0");
  Fd empty = context.mount(cgroup_attributes | MOUNT_ATTR_RDONLY);
  attach_tree(empty.get(), target);
  environment.done.add(std::move(empty));
}

void mount_unified(MountEnvironment& environment, const MountStep& step, int target,
                   uint64_t attributes) {
  const char* source = "cgroup";
  if (!matters_for_new_mount(step.propagation) &&
      try_mount_on(target, source, "cgroup2", mount_flags_of(attributes), nullptr))
    return;
  MountStep placed = step;
  placed.attributes = {attributes, 0};
  if (matters_for_new_mount(step.propagation)) {
    FsContext context("cgroup2");
    context.set("source", source);
    Fd mount = context.mount(attributes);
    place(environment, mount.get(), target, placed, attributes);
    environment.done.add(std::move(mount));
    return;
  }
  if (errno != EPERM && errno != EBUSY) throw SysError("mount cgroup2");

  // In a user namespace without a cgroup namespace of its own: the caller's tree instead, or with
  // one that it may not mount, the part of the tree that is the container's.
  const bool own_namespace = environment.plan.namespaces.is_private(NamespaceKind::cgroup);
  const auto own = environment.cgroup_paths.find("");
  const std::string path = own_namespace && own != environment.cgroup_paths.end()
                               ? own->second
                               : std::string(host_hierarchies);
  try {
    place_host_tree(environment, path.c_str(), AT_RECURSIVE, target, placed,
                    must_be_readonly(environment) ? uint64_t{MOUNT_ATTR_RDONLY} : 0);
  } catch (const SysError& error) {
    if (error.code() != ENOENT || !environment.plan.rootless) throw;
    cover_with_nothing(environment, target);
  }
}

// One v1 hierarchy (or the v2 one of a hybrid host) in its directory below the container's tmpfs,
// which is the working directory: nobody but this process knows it yet, so that the name of a
// directory that was made just now is as good as a descriptor.
void mount_hierarchy(MountEnvironment& environment, const SelfCgroup& cgroup, uint64_t attributes) {
  const std::string& name = cgroup.directory;
  if (mkdir(name.c_str(), 0755) < 0) throw SysError("make the directory " + name);
  if (environment.plan.namespaces.is_private(NamespaceKind::cgroup)) {
    const bool v2 = cgroup.controllers.empty();
    if (mount("cgroup", name.c_str(), v2 ? "cgroup2" : "cgroup", mount_flags_of(attributes),
              v2 ? nullptr : cgroup.controllers.c_str()) < 0)
      throw SysError("mount the hierarchy " + name);
  } else {
    Fd target(open(name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!target) throw SysError("open the directory " + name);
    Fd tree = clone_tree(AT_FDCWD, cgroup.host_path.c_str(), 0);
    PendingChanges changes;
    changes.apply(tree.get(), {attributes, 0, 0, false});
    attach_tree(tree.get(), target.get());
    changes.finish(tree.get(), environment);
    environment.done.add(std::move(tree));
    environment.done.add(std::move(target));
  }
}

// cpu and cpuacct beside "cpu,cpuacct".
void link_members(const std::string& joined, int tmpfs) {
  if (joined.find(',') == joined.npos) return;
  for (size_t begin = 0; begin <= joined.size();) {
    const size_t comma = std::min(joined.find(',', begin), joined.size());
    const std::string member = joined.substr(begin, comma - begin);
    if (symlinkat(joined.c_str(), tmpfs, member.c_str()) < 0 && errno != EEXIST)
      throw SysError("make the link " + member);
    begin = comma + 1;
  }
}

void mount_v1(MountEnvironment& environment, const MountStep& step, int target,
              uint64_t attributes) {
  const std::vector<SelfCgroup> cgroups =
      environment.cgroups_complete
          ? known_cgroups(environment.cgroup_paths, hybrid_directory)
          : self_cgroups(environment.proc().read("self/cgroup"), environment.cgroup_paths,
                         host_hierarchies, hybrid_directory);
  FsContext context("tmpfs");
  context.set("source", "tmpfs");
  context.set("mode", "755");
  Fd tmpfs = context.mount(cgroup_attributes);
  environment.done.add(context.release());
  MountStep placed = step;
  placed.attributes = {cgroup_attributes, 0};
  if (!matters_for_new_mount(step.propagation)) placed.propagation = Propagation::none;
  place(environment, tmpfs.get(), target, placed, cgroup_attributes, true);
  if (fchdir(tmpfs.get()) < 0) throw SysError("fchdir to the tmpfs");
  for (const SelfCgroup& cgroup : cgroups) {
    mount_hierarchy(environment, cgroup, attributes);
    link_members(cgroup.directory, tmpfs.get());
  }
  if (attributes & MOUNT_ATTR_RDONLY)
    environment.readonly_at_finish.push_back(std::move(tmpfs));
  else
    environment.done.add(std::move(tmpfs));
}

}  // namespace

void mount_cgroup(MountEnvironment& environment, const MountStep& step, const CgroupMount& cgroup) {
  const Fd target = open_directory_target(environment, step).directory;
  uint64_t attributes = step.attributes.set;
  if (cgroup.readonly) attributes |= MOUNT_ATTR_RDONLY;
  if (environment.layout == CgroupLayout::v2) {
    mount_unified(environment, step, target.get(), attributes);
    return;
  }
  attributes |= cgroup_attributes;
  if (must_be_readonly(environment)) attributes |= MOUNT_ATTR_RDONLY;
  mount_v1(environment, step, target.get(), attributes);
}

}  // namespace vessel
