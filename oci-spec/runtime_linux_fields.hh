// Owns: the members of `linux` (config-linux.md) as one description for reading and writing.
// Does not own: the other members of config.json, nor what a host makes of the values.
#pragma once

#include "oci-spec/runtime_fields.hh"

namespace oci {

template <class V>
void describe(V& v, Described<V, Namespace>& n) {
  v.required("type", n.type);
  v.one_of("type", n.type, {"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"});
  v.check(!n.type.empty(), "type", "must not be empty");
  v.field("path", n.path);
  v.check(n.path.empty() || n.path.starts_with('/'), "path", "expected an absolute path");
}

template <class V>
void describe(V& v, Described<V, TimeOffset>& t) {
  v.field("secs", t.secs);
  v.field("nanosecs", t.nanosecs);
}

template <class V>
void describe(V& v, Described<V, Device>& d) {
  v.required("path", d.path);
  v.check(d.path.starts_with('/'), "path", "expected an absolute path");
  v.required("type", d.type);
  v.one_of("type", d.type, {"c", "b", "u", "p"});
  v.check(!d.type.empty(), "type", "must not be empty");
  // The schema leaves both out of its required members; the text asks for them except for pipes.
  v.required_if(d.type != "p", "major", d.major);
  v.required_if(d.type != "p", "minor", d.minor);
  v.field("fileMode", d.file_mode);
  v.field("uid", d.uid);
  v.field("gid", d.gid);
}

template <class V>
void describe(V& v, Described<V, NetDevice>& n) {
  v.field("name", n.name);
}

template <class V>
void describe(V& v, Described<V, DeviceRule>& r) {
  v.required("allow", r.allow);
  v.field("type", r.type);
  v.one_of("type", r.type, {"a", "b", "c"});
  v.field("major", r.major);
  v.field("minor", r.minor);
  v.field("access", r.access);
  v.check(r.access.find_first_not_of("rwm") == r.access.npos, "access",
          "expected a composition of r, w and m");
}

template <class V>
void describe(V& v, Described<V, MemoryLimits>& m) {
  v.field("limit", m.limit);
  v.field("reservation", m.reservation);
  v.field("swap", m.swap);
  v.field("kernel", m.kernel);
  v.field("kernelTCP", m.kernel_tcp);
  v.field("swappiness", m.swappiness);
  v.field("disableOOMKiller", m.disable_oom_killer);
  v.field("useHierarchy", m.use_hierarchy);
  v.field("checkBeforeUpdate", m.check_before_update);
}

template <class V>
void describe(V& v, Described<V, CpuLimits>& c) {
  v.field("shares", c.shares);
  v.field("quota", c.quota);
  v.field("burst", c.burst);
  v.field("period", c.period);
  v.field("realtimeRuntime", c.realtime_runtime);
  v.field("realtimePeriod", c.realtime_period);
  v.field("cpus", c.cpus);
  v.field("mems", c.mems);
  v.field("idle", c.idle);
}

template <class V>
void describe(V& v, Described<V, PidsLimit>& p) {
  v.field("limit", p.limit);
}

template <class V>
void describe(V& v, Described<V, WeightDevice>& d) {
  v.required("major", d.major);
  v.required("minor", d.minor);
  v.field("weight", d.weight);
  v.field("leafWeight", d.leaf_weight);
  v.check(d.weight || d.leaf_weight, "weight", "weight or leafWeight is required");
}

template <class V>
void describe(V& v, Described<V, ThrottleDevice>& d) {
  v.required("major", d.major);
  v.required("minor", d.minor);
  v.required("rate", d.rate);
}

template <class V>
void describe(V& v, Described<V, BlockIo>& b) {
  v.field("weight", b.weight);
  v.field("leafWeight", b.leaf_weight);
  v.field("weightDevice", b.weight_device);
  v.field("throttleReadBpsDevice", b.throttle_read_bps_device);
  v.field("throttleWriteBpsDevice", b.throttle_write_bps_device);
  v.field("throttleReadIOPSDevice", b.throttle_read_iops_device);
  v.field("throttleWriteIOPSDevice", b.throttle_write_iops_device);
}

// "64KB", "2MB", "1GB": the names of the kernel's control files.
inline bool is_page_size(std::string_view s) {
  if (s.size() < 3 || !s.ends_with('B') || std::string_view("KMG").find(s[s.size() - 2]) == s.npos)
    return false;
  const std::string_view digits = s.substr(0, s.size() - 2);
  return digits[0] != '0' && digits.find_first_not_of("0123456789") == digits.npos;
}

template <class V>
void describe(V& v, Described<V, HugepageLimit>& h) {
  v.required("pageSize", h.page_size);
  v.check(is_page_size(h.page_size), "pageSize", "expected a size such as 64KB, 2MB or 1GB");
  v.required("limit", h.limit);
}

template <class V>
void describe(V& v, Described<V, InterfacePriority>& p) {
  v.required("name", p.name);
  v.required("priority", p.priority);
}

template <class V>
void describe(V& v, Described<V, NetworkLimits>& n) {
  v.field("classID", n.class_id);
  v.field("priorities", n.priorities);
}

template <class V>
void describe(V& v, Described<V, RdmaLimit>& r) {
  v.field("hcaHandles", r.hca_handles);
  v.field("hcaObjects", r.hca_objects);
  v.check(r.hca_handles || r.hca_objects, "hcaHandles", "hcaHandles or hcaObjects is required");
}

template <class V>
void describe(V& v, Described<V, Resources>& r) {
  v.field("devices", r.devices);
  v.field("memory", r.memory);
  v.field("cpu", r.cpu);
  v.field("pids", r.pids);
  v.field("blockIO", r.block_io);
  v.field("hugepageLimits", r.hugepage_limits);
  v.field("network", r.network);
  v.field("rdma", r.rdma);
  v.field("unified", r.unified);
}

template <class V>
void describe(V& v, Described<V, SeccompArg>& a) {
  v.required("index", a.index);
  v.check(a.index <= 5, "index", "expected 0 to 5");
  v.required("value", a.value);
  v.field("valueTwo", a.value_two);
  v.required("op", a.op);
  v.one_of("op", a.op,
           {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE",
            "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"});
}

template <class V>
void seccomp_action(V& v, std::string_view name, const std::string& action) {
  v.one_of(
      name, action,
      {"SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
       "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY"});
}

template <class V>
void describe(V& v, Described<V, SeccompSyscall>& s) {
  v.required("names", s.names);
  v.check(!s.names.empty(), "names", "must name at least one system call");
  v.required("action", s.action);
  seccomp_action(v, "action", s.action);
  v.field("errnoRet", s.errno_ret);
  v.field("args", s.args);
}

template <class V>
void describe(V& v, Described<V, Seccomp>& s) {
  // An empty object means "no filter" to every other runtime: required only beside rules.
  v.field("defaultAction", s.default_action);
  seccomp_action(v, "defaultAction", s.default_action);
  v.field("defaultErrnoRet", s.default_errno_ret);
  v.field("architectures", s.architectures);
  v.field("flags", s.flags);
  v.field("listenerPath", s.listener_path);
  v.field("listenerMetadata", s.listener_metadata);
  v.check(s.listener_metadata.empty() || !s.listener_path.empty(), "listenerMetadata",
          "must not be set without listenerPath");
  v.field("syscalls", s.syscalls);
  v.check(!s.default_action.empty() || s.syscalls.empty(), "defaultAction", "is required");
}

template <class V>
void describe(V& v, Described<V, IntelRdt>& r) {
  v.field("closID", r.clos_id);
  v.field("schemata", r.schemata);
  v.field("l3CacheSchema", r.l3_cache_schema);
  v.field("memBwSchema", r.mem_bw_schema);
  v.check(r.mem_bw_schema.empty() || r.mem_bw_schema.starts_with("MB:"), "memBwSchema",
          "expected a line that starts with MB:");
  v.field("enableMonitoring", r.enable_monitoring);
}

template <class V>
void describe(V& v, Described<V, MemoryPolicy>& m) {
  v.required("mode", m.mode);
  v.field("nodes", m.nodes);
  v.field("flags", m.flags);
}

template <class V>
void describe(V& v, Described<V, Personality>& p) {
  v.required("domain", p.domain);
  v.one_of("domain", p.domain, {"LINUX", "LINUX32"});
  v.field("flags", p.flags);
}

template <class V>
void describe(V& v, Described<V, Linux>& l) {
  v.field("uidMappings", l.uid_mappings);
  v.field("gidMappings", l.gid_mappings);
  v.field("sysctl", l.sysctl);
  v.field("resources", l.resources);
  v.field("cgroupsPath", l.cgroups_path);
  v.field("namespaces", l.namespaces);
  v.field("devices", l.devices);
  v.field("netDevices", l.net_devices);
  v.field("seccomp", l.seccomp);
  v.field("rootfsPropagation", l.rootfs_propagation);
  v.field("maskedPaths", l.masked_paths);
  v.field("readonlyPaths", l.readonly_paths);
  v.field("mountLabel", l.mount_label);
  v.field("intelRdt", l.intel_rdt);
  v.field("memoryPolicy", l.memory_policy);
  v.field("personality", l.personality);
  v.field("timeOffsets", l.time_offsets);
}

template <class V>
void describe(V& v, Described<V, Config>& c) {
  v.required("ociVersion", c.version);
  v.field("process", c.process);
  v.field("root", c.root);
  v.field("hostname", c.hostname);
  v.field("domainname", c.domainname);
  v.field("mounts", c.mounts);
  if constexpr (V::writing) {
    const Hooks& h = c.hooks;
    const bool any = !h.prestart.empty() || !h.create_runtime.empty() ||
                     !h.create_container.empty() || !h.start_container.empty() ||
                     !h.poststart.empty() || !h.poststop.empty();
    if (any) v.required("hooks", h);
  } else {
    v.field("hooks", c.hooks);
  }
  v.field("annotations", c.annotations);
  v.field("linux", c.linux_);
}

}  // namespace oci
