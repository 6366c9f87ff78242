// Owns: how init turns a fresh mount namespace into the container's, step by step.
// Does not own: what is to be done (plan/), opening sources as the parent (sources.hh), the pty
// (terminal/), hooks and the order around these steps (launch/).
//
// The order is the spec's (runtime.md "Lifecycle", config.md "createContainer Hooks"):
//
//   RootfsSetup setup(plan, layout, services);
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
#include <optional>
#include <string>
#include <vector>

#include "runtime/host/facts.hh"
#include "runtime/plan/plan.hh"
#include "runtime/rootfs/replicator.hh"
#include "runtime/sys/fd.hh"
#include "runtime/sys/fd_batch.hh"

namespace vessel {

// What init may not do itself; launch/ asks the parent, tests do it in place. Indices are positions
// in RootfsPlan::mounts and RootfsPlan::devices. Each call returns an open descriptor or throws.
class RootfsServices {
 public:
  virtual ~RootfsServices() = default;
  // A detached clone of the root's tree; asked for only when init cannot reach RootfsPlan::path.
  virtual Fd open_root() = 0;
  // The detached tree of a bind mount, its id mapping applied. Asked for exactly the mounts that
  // served_sources() lists, in that order: the parent can send them ahead.
  virtual Fd open_source(size_t mount) = 0;
  // The user namespace whose mappings a file system mount takes (MountStep::idmap).
  virtual Fd idmap_namespace(size_t mount) = 0;
  // A detached clone of the host's node; asked for only when init cannot reach it.
  virtual Fd open_device(size_t device) = 0;
};

// The bind mounts whose source the parent opens: those with an id mapping (it needs privilege over
// the source's file system) and, in a user namespace that a privileged caller made, all (the
// source may be unreachable for the mapped root, or have mounts locked onto it).
std::vector<size_t> served_sources(const Plan& plan);

class RootfsSetup {
 public:
  // All three must outlive the object. `layout` is the host's.
  RootfsSetup(const Plan& plan, CgroupLayout layout, RootfsServices& services);
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
  // A detached mount that is to live as long as its descriptor does is given to the old root just
  // before the switch: it then goes away with the one umount of all, instead of paying for one of
  // its own (50 to 85 µs) when it is closed. `mount` stays usable.
  void park_at_switch(int mount) { parked_.push_back(mount); }
  // For launch/: the container's cgroup on v2 as an absolute path of the host, used when a cgroup2
  // mount is refused in a user namespace.
  void set_cgroup2_path(std::string path) { cgroup2_path_ = std::move(path); }

 private:
  void run_mount(size_t index);
  void make_device(size_t index);
  void make_symlink(const SymlinkStep& step);
  void restrict_readonly(const std::string& path);
  void restrict_masked(const std::string& path);
  bool in_user_namespace() const;

  const Plan& plan_;
  const RootfsPlan& rootfs_;
  const CgroupLayout layout_;
  RootfsServices& services_;
  std::string cgroup2_path_;
  Fd root_;
  std::optional<mode_t> caller_umask_;
  std::vector<Fd> readonly_at_finish_;  // tmpfs and /dev: written to until then
  std::vector<int> parked_;
  Fd null_;  // the container's /dev/null as devices() made it
  Replicator masked_file_, masked_directory_;
  FdBatch done_;
};

}  // namespace vessel
