// Owns: config.json of runtime-spec 1.3.0 for Linux as plain types, its reader and its writer.
// Does not own: what the values mean on a host (vessel's plan/) or how they are made (kiln's
// steps/).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oci-spec/format_error.hh"

namespace oci {

inline constexpr std::string_view runtime_spec_version = "1.3.0";

// Enumerations of the spec stay strings here where a runtime may extend them; readers check those
// that the spec closes. Absent optional values are nullopt or empty, never invented.

struct Box {  // config.md "consoleSize": character cells
  uint32_t height = 0;
  uint32_t width = 0;
};

struct User {  // config.md "POSIX-platform User"
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
};

// Names as in capabilities(7), "CAP_CHOWN". An absent set is empty.
struct Capabilities {
  std::vector<std::string> bounding, effective, inheritable, permitted, ambient;
};

struct Rlimit {  // config.md "rlimits": getrlimit(2) name and values
  std::string type;
  uint64_t hard = 0;
  uint64_t soft = 0;
};

struct Scheduler {  // sched_setattr(2); runtime, deadline and period in nanoseconds
  std::string policy;
  std::optional<int32_t> nice;
  std::optional<int32_t> priority;
  std::vector<std::string> flags;
  std::optional<uint64_t> runtime, deadline, period;
};

struct IoPriority {  // ioprio_set(2)
  std::string io_class;
  int32_t priority = 0;
};

struct CpuAffinity {  // cpuset(7) list format; applied before / after moving to the cgroup
  std::string initial, final;
};

struct Process {
  bool terminal = false;
  std::optional<Box> console_size;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  std::optional<Capabilities> capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::optional<int32_t> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::string selinux_label;
  std::optional<IoPriority> io_priority;
  std::optional<CpuAffinity> exec_cpu_affinity;
};

struct Root {
  std::string path;
  bool readonly = false;
};

struct IdMapping {  // config-linux.md "User namespace mappings"
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
  bool operator==(const IdMapping&) const = default;
};

struct Mount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings, gid_mappings;
};

struct Hook {
  std::string path;
  std::vector<std::string> args;
  // nullopt when the field is absent: startContainer hooks then get the container's.
  std::optional<std::vector<std::string>> env;
  std::optional<int64_t> timeout;  // seconds, > 0
};

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart,
      poststop;
};

struct Namespace {
  std::string type;  // pid network mount ipc uts user cgroup time
  std::string path;  // empty: a new one
};

struct TimeOffset {
  int64_t secs = 0;
  uint32_t nanosecs = 0;
};

struct Device {
  std::string path;
  std::string type;  // c b u p
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint32_t> file_mode;
  std::optional<uint32_t> uid, gid;
};

struct NetDevice {
  std::string name;  // name inside the container; empty: unchanged
};

struct DeviceRule {  // config-linux.md "Allowed Device list"
  bool allow = false;
  std::string type;                     // a b c; empty means a
  std::optional<int64_t> major, minor;  // absent: all
  std::string access;                   // of r w m; empty means rwm
};

struct MemoryLimits {  // bytes; -1 is unlimited
  std::optional<int64_t> limit, reservation, swap, kernel, kernel_tcp;
  std::optional<uint64_t> swappiness;
  std::optional<bool> disable_oom_killer, use_hierarchy, check_before_update;
};

struct CpuLimits {  // quota, period, burst and realtime values in microseconds
  std::optional<uint64_t> shares;
  std::optional<int64_t> quota;
  std::optional<uint64_t> burst, period;
  std::optional<int64_t> realtime_runtime;
  std::optional<uint64_t> realtime_period;
  std::string cpus, mems;
  std::optional<int64_t> idle;
};

struct PidsLimit {
  std::optional<int64_t> limit;
};

struct WeightDevice {
  int64_t major = 0, minor = 0;
  std::optional<uint16_t> weight, leaf_weight;
};

struct ThrottleDevice {  // rate in bytes or operations per second
  int64_t major = 0, minor = 0;
  uint64_t rate = 0;
};

struct BlockIo {
  std::optional<uint16_t> weight, leaf_weight;
  std::vector<WeightDevice> weight_device;
  std::vector<ThrottleDevice> throttle_read_bps_device, throttle_write_bps_device,
      throttle_read_iops_device, throttle_write_iops_device;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  uint64_t limit = 0;     // bytes
};

struct InterfacePriority {
  std::string name;
  uint32_t priority = 0;
};

struct NetworkLimits {
  std::optional<uint32_t> class_id;
  std::vector<InterfacePriority> priorities;
};

struct RdmaLimit {
  std::optional<uint32_t> hca_handles, hca_objects;
};

struct Resources {
  std::vector<DeviceRule> devices;
  std::optional<MemoryLimits> memory;
  std::optional<CpuLimits> cpu;
  std::optional<PidsLimit> pids;
  std::optional<BlockIo> block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::optional<NetworkLimits> network;
  std::map<std::string, RdmaLimit> rdma;
  std::map<std::string, std::string> unified;
};

struct SeccompArg {
  uint32_t index = 0;  // 0 to 5
  uint64_t value = 0, value_two = 0;
  std::string op;  // SCMP_CMP_…
};

struct SeccompSyscall {
  std::vector<std::string> names;
  std::string action;
  std::optional<uint32_t> errno_ret;
  std::vector<SeccompArg> args;
};

struct Seccomp {
  std::string default_action;  // SCMP_ACT_…
  std::optional<uint32_t> default_errno_ret;
  std::vector<std::string> architectures;
  std::optional<std::vector<std::string>> flags;  // nullopt when the field is absent
  std::string listener_path, listener_metadata;
  std::vector<SeccompSyscall> syscalls;
};

struct IntelRdt {
  std::string clos_id;
  std::optional<std::vector<std::string>> schemata;
  std::string l3_cache_schema, mem_bw_schema;
  bool enable_monitoring = false;
};

struct MemoryPolicy {  // set_mempolicy(2)
  std::string mode;
  std::string nodes;
  std::vector<std::string> flags;
};

struct Personality {
  std::string domain;  // LINUX or LINUX32
  std::vector<std::string> flags;
};

struct Linux {
  std::vector<IdMapping> uid_mappings, gid_mappings;
  std::map<std::string, std::string> sysctl;
  std::optional<Resources> resources;
  std::string cgroups_path;
  std::vector<Namespace> namespaces;
  std::vector<Device> devices;
  std::map<std::string, NetDevice> net_devices;
  std::optional<Seccomp> seccomp;
  std::string rootfs_propagation;
  std::vector<std::string> masked_paths, readonly_paths;
  std::string mount_label;
  std::optional<IntelRdt> intel_rdt;
  std::optional<MemoryPolicy> memory_policy;
  std::optional<Personality> personality;
  std::map<std::string, TimeOffset> time_offsets;
};

struct Config {
  std::string version;  // ociVersion
  std::optional<Process> process;
  std::optional<Root> root;
  std::string hostname, domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  std::optional<Linux> linux_;  // "linux" is a predefined macro in GNU modes
};

// Reads config.json. Strict where the spec says MUST (types, ranges, required fields); unknown
// fields are tolerated and (config.md "Extensibility") ignored. `file` names the document in
// errors. Throws FormatError with every problem, each with its JSON path:
// "linux.resources.memory.limit: expected an integer, got a string".
Config read_config(std::string_view json, std::string_view file);
// The same where more problems are to be found: those of the reading go to `problems`, and what could
// not be read keeps its default. Throws FormatError for what is no JSON.
Config read_config(std::string_view json, std::string_view file, std::vector<Problem>& problems);

// The same for the parts that travel alone: `exec --process FILE`, `update --resources FILE`.
Process read_process(std::string_view json, std::string_view file);
Resources read_resources(std::string_view json, std::string_view file);

// Written back without loss of what the types hold; absent stays absent. `indent` < 0: one line.
std::string write(const Config& config, int indent = -1);
std::string write(const Process& process, int indent = -1);
std::string write(const Resources& resources, int indent = -1);

}  // namespace oci
