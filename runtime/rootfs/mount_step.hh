// Owns: carrying out one entry of config.json's mounts: a file system, a bind, a cgroup view.
// Does not own: the order of them and of everything around them (rootfs.hh).
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/host/facts.hh"
#include "runtime/plan/plan.hh"
#include "runtime/rootfs/services.hh"
#include "runtime/sys/fd.hh"
#include "runtime/sys/fd_batch.hh"
#include "runtime/sys/mount_api.hh"
#include "runtime/sys/procfs.hh"

namespace vessel {

// What every mount needs to know and what it leaves behind.
struct MountEnvironment {
  const Plan& plan;
  CgroupLayout layout;
  RootfsServices& services;
  int root = -1;
  const std::map<std::string, std::string>& cgroup_paths;  // CgroupRecord::paths
  bool cgroups_complete = false;                           // Cgroup::in_every_hierarchy
  FdBatch done;                                            // descriptors that served their purpose
  std::vector<Fd> readonly_at_finish;                      // tmpfs and /dev: written to until then
  std::optional<ProcFs> procfs;                            // opened when a fallback needs it

  bool in_user_namespace() const { return plan.namespaces.new_user || plan.namespaces.joined_user; }
  const ProcFs& proc();
};

// All throw Error or SysError, without naming the mount: the caller does. They may change the
// working directory. `index` is the position in RootfsPlan::mounts.
void run_mount(MountEnvironment& environment, const MountStep& step, size_t index);
void mount_filesystem(MountEnvironment& environment, const MountStep& step, size_t index,
                      const FilesystemMount& filesystem);
void mount_bind(MountEnvironment& environment, const MountStep& step, size_t index,
                const BindMount& bind);
void mount_cgroup(MountEnvironment& environment, const MountStep& step, const CgroupMount& cgroup);

// Gives the file system of `mount` the options of `filesystem`.
void reconfigure(int mount, const FilesystemMount& filesystem);

// The directory (O_PATH) that a file system is mounted on, made if missing.
struct DirectoryTarget {
  Fd directory;
  bool made = false;
};
DirectoryTarget open_directory_target(const MountEnvironment& environment, const MountStep& step);
// What a bind of a file or directory lands on; an empty one of the same type is made if missing.
Fd open_bind_target(const MountEnvironment& environment, const MountStep& step, int source);

// Makes a change to a mount that is not attached yet, or notes it for after the attach where the
// kernel has no mount_setattr.
class PendingChanges {
 public:
  void apply(int detached, const MountChange& change);
  void finish(int attached, MountEnvironment& environment) const;

 private:
  struct Pending {
    MountChange change;
    int error;
  };
  std::vector<Pending> pending_;
};

// Gives the detached `tree` what `step` says (`already`: attributes that it was made with) and
// puts it on `target`. `one_mount`: there are no others below it.
void place(MountEnvironment& environment, int tree, int target, const MountStep& step,
           uint64_t already = 0, bool one_mount = false);

// Puts the detached `tree`, which has its options, on `target`.
void attach(int tree, int target);

// The clone of a bind's source with all that `step` says of the mount, where one call does it; else
// empty, and the source is cloned first and placed then, which also tells what is wrong.
Fd try_clone_finished(const MountStep& step, const BindMount& bind) noexcept;

// Whether the words say anything of a file system that is mounted anew: it is nobody's peer or
// slave before it is attached, and what it becomes then is the mount's below it to say.
bool matters_for_new_mount(Propagation propagation);

// A bind of the host's `path` in place of a file system that may not be mounted here.
void place_host_tree(MountEnvironment& environment, const char* path, unsigned flags, int target,
                     const MountStep& step, uint64_t more_attributes = 0);

// One mount(2) on a held directory, by making it the working directory: "." cannot be redirected.
// Fewer calls than the fd-based API needs. False with errno.
bool try_mount_on(int directory, const char* source, const char* type, unsigned long flags,
                  const char* data) noexcept;

// MS_SHARED, MS_SLAVE, … of a plan's word, and whether it is a recursive one.
MountChange propagation_change(Propagation propagation);

}  // namespace vessel
