// Owns: the life of one container's cgroup on every kind of host: made, entered, limited, frozen,
// killed, measured, removed.
// Does not own: what the limits should be (plan/), the container's view of the hierarchy (rootfs/),
// nor when each step happens (operations/, launch/).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/cgroup/stats.hh"
#include "runtime/host/facts.hh"
#include "runtime/plan/plan.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// Where a process is, as /proc/PID/cgroup has it: controllers as the kernel lists them ("" for v2)
// -> path from the root of that hierarchy.
using ProcessCgroups = std::map<std::string, std::string>;

// A new container's cgroup is there already and has processes.
class CgroupInUse : public Error {
 public:
  using Error::Error;
};

// What the state file keeps of a cgroup, enough for Cgroup::open.
struct CgroupRecord {
  // Hierarchy -> absolute directory on the host: "" is the v2 one, others are v1 hierarchies as
  // mounted ("memory", "cpu,cpuacct", "name=systemd").
  std::map<std::string, std::string> paths;
  std::string unit;       // systemd driver: the scope or slice to stop on destroy
  bool user_bus = false;  // systemd driver: it is the user's manager
  std::string delegate;   // run.oci.delegate-cgroup, a name below the v2 directory

  bool empty() const { return paths.empty(); }
  bool operator==(const CgroupRecord&) const = default;
};

// How a new process gets into the cgroup: by CLONE_INTO_CGROUP where there is a v2 hierarchy, and
// by its own hand on v1 ones, through files that were opened beforehand with the caller's rights.
class CgroupEntry {
 public:
  CgroupEntry() = default;
  ~CgroupEntry();
  CgroupEntry(CgroupEntry&&) = default;
  CgroupEntry& operator=(CgroupEntry&&) = default;

  // The directory for clone_args.cgroup; -1 when there is no v2 hierarchy. When clone3 refuses with
  // EBUSY, ENOENT, ENODEV or EOPNOTSUPP, use Cgroup::entry_of(init's pid) instead (exec); with
  // ENOSYS or EPERM clone without it and call enter(true) in the child.
  int clone_fd() const { return v2_dir_ ? v2_dir_.get() : -1; }

  // In the new process, single-threaded, before it unshares a cgroup namespace: moves the caller
  // into the v1 cgroups; `v2_too` when it was not cloned into the v2 one. The v1 files are `tasks`,
  // and the value "0": so the kernel needs no lock over all thread groups (an RCU grace period).
  // Allocates nothing unless it fails. Throws SysError.
  void enter(bool v2_too = false) const;

 private:
  friend class Cgroup;
  Fd v2_dir_;
  Fd v2_procs_;           // only where clone_fd cannot serve, or for a delegated sub-cgroup
  bool v2_move_ = false;  // after the clone the caller moves on into v2_procs_ (delegate)
  std::vector<std::pair<std::string, Fd>> v1_tasks_;
};

class Cgroup {
 public:
  Cgroup();  // none: every operation is a no-op, every count is zero
  ~Cgroup();
  Cgroup(Cgroup&&) noexcept;
  Cgroup& operator=(Cgroup&&) noexcept;

  // Makes the cgroup; the order is create, apply, entry + clone, init_is_in. A path that exists
  // is refused when it holds processes, is frozen, or carries another container's mark. Whatever
  // was made is removed again when this throws. With the systemd driver the unit exists on return
  // (a sleeping child of ours keeps it alive until init_is_in). With plan.optional and no right to
  // make one: returns an empty Cgroup, or throws when limits were asked for. `start`: where a
  // relative path begins; empty: where the caller is.
  static Cgroup create(const CgroupPlan& plan, std::string_view container_id,
                       const HostFacts& facts, ProcessCgroups start = {});

  // That of an existing container. Touches nothing: directories are opened when first needed.
  static Cgroup open(CgroupRecord record);

  const CgroupRecord& record() const;
  bool none() const { return record().empty(); }
  // After create: there is one in every hierarchy that this host mounts in the standard place.
  bool in_every_hierarchy() const;
  // Things the user should hear about (ignored kernel memory limit, …), in order; then forgotten.
  std::vector<std::string> take_warnings();

  // Limits of plan.resources (all but devices), before the clone. Throws an Error that names the
  // JSON path and the file: "linux.resources.memory.limit: write 42 to memory.max: …".
  void apply(const oci::Resources& resources);
  // The device rules; may run while the child mounts, must be done before the user's program.
  // `directory`: the v2 one, where it is open (CgroupEntry::clone_fd), or -1.
  void apply_devices(const oci::Resources& resources, int directory = -1);
  // `update`: changes what is named. Zero means unchanged (Docker), devices are ignored (CRI), and
  // values that depend on each other are read from the kernel where only one is given.
  void update(const oci::Resources& change);
  // config-linux.md "Cgroup ownership": the v2 directory and the files that
  // /sys/kernel/cgroup/delegate names. Host ids.
  void give_to(uid_t uid, gid_t gid);

  // For init, and for exec. `below` is exec's --cgroup: "PATH" or "CTRL[,CTRL]:PATH" entries,
  // relative to the container's cgroup. Throws SysError.
  CgroupEntry entry(const std::vector<std::string>& below = {});
  // The cgroups that process `pid` is in now (exec's fallback when the container made sub-cgroups).
  CgroupEntry entry_of(pid_t pid);
  // Moves another process in (for callers that cannot let it enter by itself).
  void attach(pid_t pid);
  // Init was cloned and has entered: lets go of what kept a systemd scope alive.
  void init_is_in();

  // Freezer. freeze returns when every process is frozen, or throws (and thaws) after 10 s.
  void freeze();
  void thaw();
  bool is_frozen();

  // Every process in it and below it, without duplicates; empty when it is gone.
  std::vector<pid_t> pids();
  // Sends `signal` to all of them; SIGKILL goes through cgroup.kill where the kernel has it, and
  // reaches frozen ones too. Returns whether there was any process. Repeats for SIGKILL until no
  // new process appears.
  bool kill_all(int signal);
  // Removes it with everything below; kills what is still inside first. Waits for dying processes
  // (pidfds, cgroup.events), at most 10 s, then throws naming what is left. Gone is no error.
  void destroy();

  // `events`. Missing controllers leave their part empty.
  CgroupStats stats();
  // How many processes the kernel killed here for memory; nullopt when it cannot be known.
  std::optional<uint64_t> oom_kills();
  // Becomes readable (poll POLLIN on v1, and v2's inotify) at each out-of-memory event; read it
  // empty and compare oom_kills(). Empty Fd when memory is not controlled here.
  Fd oom_events();

 private:
  struct State;
  explicit Cgroup(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vessel
