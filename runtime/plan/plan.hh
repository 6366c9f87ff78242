// Owns: the Plan, everything that is decided before the first change to the system, as plain data.
// Does not own: how it is decided (the other files of plan/) or carried out (launch/, rootfs/, …).
//
// A Plan is made once from (oci::Config, HostFacts, PlanOptions) and never changes. The init
// process inherits it by clone, so it is never serialised. This room includes no system call
// header: flag values that only exist there are kept as this room's own enums or as numbers named
// in the comment.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "oci-spec/runtime_config.hh"

namespace vessel {

// ---- namespaces (RUNTIME.md "Order and namespaces") -------------------------------------------

enum class NamespaceKind { user, mount, pid, network, ipc, uts, cgroup, time };
inline constexpr int namespace_kind_count = 8;

struct NamespaceJoin {
  NamespaceKind kind;
  std::string path;
};

struct NamespacePlan {
  // Joined by path, in the order in which setns(2) must be called, before the clone that makes
  // init.
  std::vector<NamespaceJoin> join;
  // Given to clone3 (CLONE_NEW* bits; CLONE_NEWTIME included when no offsets are to be written).
  uint64_t clone_flags = 0;
  // Unshared by init itself after all v1 cgroup attaches (v1 and hybrid hosts).
  bool unshare_cgroup_late = false;
  // The time namespace must be unshared, and its offsets written, by a helper before init is
  // cloned.
  bool time_by_helper = false;
  // An intermediate process is needed (any join, or time_by_helper): it joins, then clones init as
  // a sibling (CLONE_PARENT) so that init's parent is vessel.
  bool needs_helper = false;
  bool new_user = false;     // a new user namespace is made (mappings below are to be written)
  bool joined_user = false;  // joined by path: mappings are read from it
  std::vector<oci::IdMapping> uid_mappings, gid_mappings;
  // Mappings are written by newuidmap/newgidmap (unprivileged, and not just one's own id).
  bool mappings_by_tool = false;
  bool deny_setgroups = false;
  // Of each kind: is it another one than the caller's?
  bool is_new(NamespaceKind kind) const { return own[static_cast<size_t>(kind)] == 1; }
  bool is_joined(NamespaceKind kind) const { return own[static_cast<size_t>(kind)] == 2; }
  bool is_private(NamespaceKind kind) const { return own[static_cast<size_t>(kind)] != 0; }
  uint8_t own[namespace_kind_count] = {};  // 0 inherited, 1 new, 2 joined
  std::map<std::string, oci::TimeOffset> time_offsets;
};

// ---- root file system ---------------------------------------------------------------------------

// Attribute changes for mount_setattr(2): MOUNT_ATTR_* bits. For binds only named flags are set and
// their opposites cleared; the others stay as the source has them.
struct MountAttributes {
  uint64_t set = 0;
  uint64_t clear = 0;
  bool empty() const { return set == 0 && clear == 0; }
};

enum class Propagation : uint8_t {
  none,  // leave as it is
  shared,
  slave,
  private_,
  unbindable,
  rshared,
  rslave,
  rprivate,
  runbindable
};

// An id mapping of a mount: its own, or that of the container's user namespace.
struct MountIdmap {
  std::vector<oci::IdMapping> uid, gid;  // both empty: the container's
  bool recursive = false;                // ridmap
};

struct BindMount {
  std::string source;  // absolute on the host (relative ones are resolved against the bundle)
  bool recursive = false;
};

struct FilesystemMount {
  std::string fs_type;
  std::string source;
  // Options for fsconfig(2): key and value; no value is a flag. fsconfig takes values of up to 255
  // bytes: a longer one (overlay's lowerdir) needs mount(2).
  std::vector<std::pair<std::string, std::optional<std::string>>> options;
  bool readonly_superblock = false;
  // tmpfs `tmpcopyup`: the content of the directory below is copied in.
  bool copy_up = false;
};

// The container's own view of the cgroup hierarchy; what it becomes depends on the host's layout.
struct CgroupMount {
  bool readonly = false;
};

struct MountStep {
  size_t index = 0;         // in config.json's mounts, for messages: "mounts[3] (/dev/shm)"
  std::string destination;  // inside the root, absolute
  std::variant<FilesystemMount, BindMount, CgroupMount> what;
  MountAttributes attributes;            // of the mount itself
  MountAttributes recursive_attributes;  // rro, rnosuid, …: AT_RECURSIVE
  Propagation propagation = Propagation::none;
  std::optional<MountIdmap> idmap;
  // Option `remount`: nothing new is mounted; the mount at the destination gets the attributes and,
  // for a FilesystemMount, its superblock the options.
  bool remount = false;
  bool no_symlink_at_target = false;  // proc, sysfs: CVE-2019-19921
};

enum class DeviceType : uint8_t { character, block, fifo };

struct DeviceStep {
  std::string path;  // inside the root
  DeviceType type = DeviceType::character;
  uint32_t major = 0, minor = 0;
  uint32_t mode = 0666;  // permission bits, the umask does not apply
  uint32_t uid = 0, gid = 0;
  bool by_bind = false;  // bind the host's node instead of mknod (user namespace)
};

struct SymlinkStep {
  std::string path, target;
};

enum class RootSwitch : uint8_t {
  pivot,  // pivot_root(2)
  move,   // --no-pivot: MS_MOVE and chroot, for a root on a ramdisk
  chroot  // no mount namespace of its own
};

struct RootfsPlan {
  std::string path;  // absolute on the host
  bool readonly = false;
  Propagation propagation = Propagation::rprivate;  // linux.rootfsPropagation; slave when absent
  std::vector<MountStep> mounts;                    // in order
  std::vector<DeviceStep> devices;
  std::vector<SymlinkStep> symlinks;  // /dev/fd, /dev/stdin, /dev/ptmx …
  std::vector<std::string> masked_paths, readonly_paths;
  RootSwitch root_switch = RootSwitch::pivot;
  bool bind_console = false;  // the pty slave on /dev/console
  // SELinux label for what the runtime mounts by itself; the mounts above have it in their options.
  std::string mount_label;
};

// ---- the process
// ----------------------------------------------------------------------------------

struct CapabilityPlan {  // bit masks by capability number
  uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
};

struct RlimitPlan {
  int resource = 0;  // RLIMIT_*
  std::string name;  // for messages
  uint64_t soft = 0, hard = 0;
};

struct SchedulerPlan {  // struct sched_attr (sched_setattr(2))
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0, deadline = 0, period = 0;  // nanoseconds
};

struct MemoryPolicyPlan {  // set_mempolicy(2): mode | flags
  int mode = 0;
  std::vector<uint64_t> node_mask;  // 64 nodes a word
};

using CpuSet = std::vector<uint64_t>;  // 64 CPUs a word

// Used for init and for exec alike.
struct ProcessPlan {
  std::vector<std::string> args;  // empty: config.json has no process, there is nothing to start
  std::vector<std::string> env;   // last duplicate won, NUL refused; HOME still to be filled
  bool set_home = false;          // HOME absent or empty: from the container's /etc/passwd
  std::string cwd = "/";
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> additional_gids;
  bool keep_groups = false;                    // run.oci.keep_original_groups
  std::optional<uint32_t> umask;               // always set: 022 unless the config says otherwise
  std::optional<CapabilityPlan> capabilities;  // always set: without any in the config, none
  std::vector<RlimitPlan> rlimits;
  bool no_new_privileges = false;
  std::optional<int32_t> oom_score_adj;
  std::optional<SchedulerPlan> scheduler;
  std::optional<uint16_t> io_priority;  // class << 13 | level (ioprio_set(2))
  std::optional<MemoryPolicyPlan> memory_policy;
  std::optional<CpuSet> affinity_initial, affinity_final;  // execCPUAffinity
  std::optional<uint64_t> personality;                     // personality(2)
  std::string apparmor_profile, selinux_label;
  bool new_session_keyring = true;
  bool terminal = false;
  std::optional<oci::Box> console_size;
  uint32_t preserve_fds = 0;          // beyond stdio and LISTEN_FDS
  std::vector<std::string> warnings;  // as Plan::warnings, for an exec'ed process
};

// ---- cgroup
// ---------------------------------------------------------------------------------------

enum class CgroupDriver : uint8_t { none, cgroupfs, systemd };

struct SystemdUnitPlan {
  std::string slice;                              // "system.slice", "user.slice", …
  std::string unit;                               // "libpod-abc.scope"
  std::map<std::string, std::string> properties;  // annotations org.systemd.property.*, raw
  std::string subgroup;                           // run.oci.systemd.subgroup
};

struct CgroupPlan {
  CgroupDriver driver = CgroupDriver::cgroupfs;
  // Clean (no "..", no empty parts). With a leading "/": below each hierarchy's mount point.
  // Without: below vessel's own cgroup of each v1 hierarchy, and beside it on v2 (a cgroup with
  // processes cannot hand controllers down), as runc does. Empty with the systemd driver
  // (the unit decides).
  std::string path;
  std::optional<SystemdUnitPlan> systemd;
  std::string delegate;             // run.oci.delegate-cgroup
  bool chown_to_container = false;  // config-linux.md "Cgroup ownership"
  bool optional = false;            // --rootless: go on without what may not be made or written
  // Device rules complete: a first rule that denies all, and those of the default devices behind
  // the last rule that denies all, so that later rules of the config still count.
  oci::Resources resources;
};

// ---- cache and memory bandwidth (resctrl)
// -----------------------------------------------------------

struct IntelRdtPlan {
  // The control group's directory below the mount; empty is the root, the default class of service.
  std::string group;
  // closID was given: a group of others, that has to be there when there are no schemata, and that
  // outlives the container.
  bool named = false;
  std::vector<std::string> schemata;  // lines of its file, in the order in which they are written
  std::string mon_group;              // below mon_groups; empty: not monitored by itself
};

// ---- all of it
// ------------------------------------------------------------------------------------

struct Plan {
  std::string id;
  std::string bundle;  // absolute
  NamespacePlan namespaces;
  RootfsPlan rootfs;
  ProcessPlan process;
  CgroupPlan cgroup;
  oci::Hooks hooks;
  std::map<std::string, std::string> annotations;
  std::string hostname, domainname;
  std::map<std::string, std::string> sysctl;       // path below /proc/sys -> value
  std::map<std::string, std::string> net_devices;  // host name -> name inside
  std::optional<IntelRdtPlan> intel_rdt;
  std::optional<oci::Seccomp> seccomp;
  // noNewPrivileges is false: the filter is loaded before capabilities are dropped.
  bool seccomp_before_capabilities = false;
  // There are startContainer hooks and they run under the filter: it is loaded before `created`,
  // while init still has the privileges for that, or its listener awaits it then. Otherwise it is
  // loaded after them.
  bool seccomp_before_hooks = false;
  bool rootless = false;
  // runtime.md "Warnings": what was asked for and is left out or deprecated, each with its path.
  std::vector<std::string> warnings;
};

}  // namespace vessel
