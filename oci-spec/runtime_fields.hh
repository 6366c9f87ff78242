// Owns: the members of process, root, mounts and hooks (config.md) as one description for reading
// and writing. Does not own: the linux part (runtime_linux_fields.hh), the walking (visitors).
#pragma once

#include "oci-spec/runtime_config.hh"
#include "oci-spec/runtime_visitors.hh"

namespace oci {

template <class V>
void describe(V& v, Described<V, Box>& b) {
  v.required("height", b.height);
  v.required("width", b.width);
}

// uid and gid are REQUIRED by the text of the spec; its schema and every other runtime take 0.
template <class V>
void describe(V& v, Described<V, User>& u) {
  v.required_if(V::writing, "uid", u.uid);
  v.required_if(V::writing, "gid", u.gid);
  v.field("umask", u.umask);
  v.field("additionalGids", u.additional_gids);
}

template <class V>
void describe(V& v, Described<V, Capabilities>& c) {
  v.field("bounding", c.bounding);
  v.field("effective", c.effective);
  v.field("inheritable", c.inheritable);
  v.field("permitted", c.permitted);
  v.field("ambient", c.ambient);
}

template <class V>
void describe(V& v, Described<V, Rlimit>& r) {
  v.required("type", r.type);
  v.required("hard", r.hard);
  v.required("soft", r.soft);
}

template <class V>
void describe(V& v, Described<V, Scheduler>& s) {
  v.required("policy", s.policy);
  v.one_of("policy", s.policy,
           {"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE",
            "SCHED_DEADLINE"});
  v.field("nice", s.nice);
  v.field("priority", s.priority);
  v.field("flags", s.flags);
  v.field("runtime", s.runtime);
  v.field("deadline", s.deadline);
  v.field("period", s.period);
}

template <class V>
void describe(V& v, Described<V, IoPriority>& p) {
  v.required("class", p.io_class);
  v.one_of("class", p.io_class, {"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"});
  v.required_if(V::writing, "priority", p.priority);
  v.check(p.priority >= 0 && p.priority <= 7, "priority", "expected 0 (highest) to 7 (lowest)");
}

template <class V>
void describe(V& v, Described<V, CpuAffinity>& a) {
  v.field("initial", a.initial);
  v.field("final", a.final);
}

template <class V>
void describe(V& v, Described<V, Process>& p) {
  v.field("terminal", p.terminal);
  v.field("consoleSize", p.console_size);
  v.required_if(V::writing, "user", p.user);
  v.field("args", p.args);
  v.field("env", p.env);
  v.required("cwd", p.cwd);
  v.field("capabilities", p.capabilities);
  v.field("rlimits", p.rlimits);
  v.field("noNewPrivileges", p.no_new_privileges);
  v.field("apparmorProfile", p.apparmor_profile);
  v.field("oomScoreAdj", p.oom_score_adj);
  v.field("scheduler", p.scheduler);
  v.field("selinuxLabel", p.selinux_label);
  v.field("ioPriority", p.io_priority);
  v.field("execCPUAffinity", p.exec_cpu_affinity);
}

template <class V>
void describe(V& v, Described<V, Root>& r) {
  v.required("path", r.path);
  v.field("readonly", r.readonly);
}

template <class V>
void describe(V& v, Described<V, IdMapping>& m) {
  v.required("containerID", m.container_id);
  v.required("hostID", m.host_id);
  v.required("size", m.size);
}

template <class V>
void describe(V& v, Described<V, Mount>& m) {
  v.required("destination", m.destination);
  v.field("type", m.type);
  v.field("source", m.source);
  v.field("options", m.options);
  v.field("uidMappings", m.uid_mappings);
  v.field("gidMappings", m.gid_mappings);
}

template <class V>
void describe(V& v, Described<V, Hook>& h) {
  v.required("path", h.path);
  v.check(h.path.starts_with('/'), "path", "expected an absolute path");
  v.field("args", h.args);
  v.field("env", h.env);
  v.field("timeout", h.timeout);
  v.check(!h.timeout || *h.timeout > 0, "timeout", "expected a number of seconds above 0");
}

template <class V>
void describe(V& v, Described<V, Hooks>& h) {
  v.field("prestart", h.prestart);
  v.field("createRuntime", h.create_runtime);
  v.field("createContainer", h.create_container);
  v.field("startContainer", h.start_container);
  v.field("poststart", h.poststart);
  v.field("poststop", h.poststop);
}

}  // namespace oci
