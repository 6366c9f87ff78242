// Owns: how init turns a fresh mount namespace into the container's, step by step.
// Does not own: what is to be done (plan/), opening sources as the parent (sources.hh), the pty
// (terminal/), hooks and the order around these steps (launch/).
//
// The order is the spec's (runtime.md "Lifecycle", config.md "createContainer Hooks"):
//
//   RootfsSetup setup(plan, layout, services, …);
//   setup.prepare();          propagation; the root attached on its own path
//   setup.mounts();           every entry of config.json's mounts, in order
//   setup.devices();          device nodes, then the symbolic links of /dev
//   setup.bind_console(slave)     only with a terminal
//   …                         createContainer hooks
//   setup.switch_root();      pivot_root, move or chroot; the host's mounts are gone after it
//   setup.restrict_paths();   readonlyPaths, maskedPaths
//   setup.finish();           what had to stay writable until now becomes read-only
//
// From prepare() to finish() the umask is 0, so that modes are exactly those of the plan; finish()
// puts the caller's back (createContainer hooks are given it by whoever runs them).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "runtime/host/facts.hh"
#include "runtime/plan/plan.hh"
#include "runtime/rootfs/mount_step.hh"
#include "runtime/rootfs/replicator.hh"
#include "runtime/rootfs/services.hh"
#include "runtime/sys/fd.hh"
#include "runtime/sys/resolve.hh"

namespace vessel {

// The bind mounts whose source the parent opens: those with an id mapping (it needs privilege over
// the source's file system) and, in a user namespace that a privileged caller made, all (the
// source may be unreachable for the mapped root, or have mounts locked onto it).
std::vector<size_t> served_sources(const Plan& plan);

class RootfsSetup {
 public:
  // All that is referred to must outlive the object. `layout` is the host's. `cgroup_paths`: the
  // container's cgroups, hierarchy -> absolute directory on the host, as CgroupRecord::paths;
  // unless they are complete, what is absent is taken from init's own membership.
  RootfsSetup(const Plan& plan, CgroupLayout layout, RootfsServices& services,
              const std::map<std::string, std::string>& cgroup_paths, bool cgroups_complete);
  ~RootfsSetup();
  RootfsSetup(const RootfsSetup&) = delete;
  RootfsSetup& operator=(const RootfsSetup&) = delete;

  // Each throws Error or SysError whose text starts with what was being done:
  // "mounts[3] (/dev/shm): fsconfig size=64x: Invalid argument".
  void prepare();
  void mounts();
  void devices();
  // `slave`: the terminal of the container's devpts (Pty::slave).
  void bind_console(int slave);
  void switch_root();
  void restrict_paths();
  void finish();

  // The container's root directory, valid between prepare() and finish(). Everything in the root
  // is reached from here, through resolve_in_root().
  int root() const { return root_.get(); }
  // The procfs that this object uses itself, opened now if it has not been; as long-lived as the
  // object.
  const ProcFs& open_procfs() { return environment_.proc(); }

 private:
  void make_device(const DeviceStep& step, size_t index);
  void bind_device(const ParentInRoot& parent, const DeviceStep& step, size_t index);
  void make_symlink(const SymlinkStep& step);
  void make_readonly(const std::string& path);
  void mask(const std::string& path);
  void set_file_mask(Fd null_device);
  Replicator mask_for_directories();
  const ParentInRoot& parent_of(const std::string& path);
  void detach_old_root();
  void move_root();

  const Plan& plan_;
  const RootfsPlan& rootfs_;
  MountEnvironment environment_;
  Fd root_;
  mode_t caller_umask_ = 0;
  bool umask_changed_ = false;
  ParentInRoot last_parent_;  // of devices and links: nearly all lie in /dev
  std::string last_parent_path_;
  Fd null_;  // /dev/null as devices() made it
  Replicator masked_file_, masked_directory_;
  PendingChanges masked_readonly_;
};

}  // namespace vessel
