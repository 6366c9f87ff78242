#include "runtime/cli/plan_steps.hh"

#include <algorithm>
#include <array>

#include "oci-spec/json_output.hh"
#include "runtime/cgroup/hierarchy.hh"
#include "runtime/cgroup/resources.hh"
#include "runtime/hooks/hooks.hh"
#include "runtime/plan/capability_names.hh"
#include "runtime/plan/mount_options.hh"
#include "runtime/plan/namespace_names.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

void add_word(std::string& text, std::string_view word, std::string_view separator = ",") {
  if (word.empty()) return;
  if (!text.empty()) text += separator;
  text += word;
}

std::string octal(uint32_t mode) {
  std::string digits = "0000";
  for (size_t i = 4; i-- > 0; mode >>= 3) digits[i] = static_cast<char>('0' + (mode & 7));
  return digits;
}

std::string mappings_text(const std::vector<oci::IdMapping>& mappings) {
  std::string text;
  for (const oci::IdMapping& m : mappings)
    add_word(text, std::to_string(m.container_id) + ":" + std::to_string(m.host_id) + ":" +
                       std::to_string(m.size));
  return text;
}

std::string capabilities_text(uint64_t mask) {
  std::string text;
  for (size_t i = 0; i < std::size(capability_names); ++i)
    if (mask >> i & 1) add_word(text, capability_names[i]);
  return text.empty() ? "none" : text;
}

class StepWriter {
 public:
  StepWriter(const Plan& plan, const HostFacts& facts) : plan_(plan), facts_(facts) {}

  std::vector<PlanStep> write() {
    cgroup();
    namespaces();
    root_and_mounts();
    devices();
    hooks("createRuntime", "prestart", plan_.hooks.prestart);
    hooks("createRuntime", "createRuntime", plan_.hooks.create_runtime);
    hooks("createContainer", "createContainer", plan_.hooks.create_container);
    switch_root();
    settings();
    process();
    hooks("start", "startContainer", plan_.hooks.start_container);
    std::string command;
    for (const std::string& a : plan_.process.args) add_word(command, a, " ");
    add("start", "execute", command, "");
    hooks("started", "poststart", plan_.hooks.poststart);
    hooks("deleted", "poststop", plan_.hooks.poststop);
    return std::move(steps_);
  }

 private:
  void add(std::string_view phase, std::string_view action, std::string object,
           std::string detail) {
    steps_.push_back(
        {std::string(phase), std::string(action), std::move(object), std::move(detail)});
  }

  void cgroup() {
    const CgroupPlan& c = plan_.cgroup;
    const std::string optional = c.optional ? "where permitted" : "";
    if (c.driver == CgroupDriver::none) return add("cgroup", "none", "", "no hierarchy mounted");
    if (c.systemd) {
      std::string detail = "in " + c.systemd->slice;
      for (const auto& [name, value] : c.systemd->properties)
        add_word(detail, std::string(name).append("=").append(value), " ");
      add("cgroup", "start unit", c.systemd->unit, detail);
    } else {
      add("cgroup", "make", c.path, optional);
    }
    const std::vector<Hierarchy> hierarchies = find_hierarchies(facts_.cgroup_layout);
    CgroupView view;
    view.where = [&](std::string_view controller) {
      for (const Hierarchy& h : hierarchies)
        if (!h.v2() && hierarchy_has(h.key, controller)) return ControllerAt::v1;
      return facts_.cgroup_layout == CgroupLayout::v1 ? ControllerAt::nowhere : ControllerAt::v2;
    };
    view.read = [](std::string_view, std::string_view) { return std::nullopt; };
    try {
      for (const CgroupWrite& w : resource_writes(c.resources, view).writes)
        add("cgroup", "write", w.file, w.value);
    } catch (const Error& e) {
      add("cgroup", "cannot limit", "", e.message());
    }
    add("cgroup", "filter devices", "", std::to_string(c.resources.devices.size()) + " rules");
    if (c.chown_to_container) add("cgroup", "give to", "container's user", "");
  }

  void namespaces() {
    const NamespacePlan& n = plan_.namespaces;
    for (const NamespaceJoin& j : n.join)
      add("namespaces", "join", std::string(namespace_name(j.kind)), j.path);
    for (size_t i = 0; i < namespace_names.size(); ++i) {
      const auto kind = static_cast<NamespaceKind>(i);
      if (!n.is_new(kind)) continue;
      std::string detail;
      if (kind == NamespaceKind::cgroup && n.unshare_cgroup_late)
        detail = "by init, after it has entered the v1 cgroups";
      if (kind == NamespaceKind::time && n.time_by_helper)
        detail = "by a helper, which writes the offsets";
      add("namespaces", "new", std::string(namespace_names[i]), detail);
    }
    if (n.new_user) {
      const std::string by = n.mappings_by_tool ? " by newuidmap and newgidmap" : "";
      add("namespaces", "map", "uids", mappings_text(n.uid_mappings) + by);
      add("namespaces", "map", "gids",
          mappings_text(n.gid_mappings) + by + (n.deny_setgroups ? ", setgroups denied" : ""));
    }
    for (const auto& [outside, inside] : plan_.net_devices)
      add("namespaces", "move interface", outside, "as " + inside);
  }

  void root_and_mounts() {
    add("mounts", "root", plan_.rootfs.path,
        std::string(propagation_name(plan_.rootfs.propagation)) +
            (plan_.rootfs.readonly ? ", read-only in the end" : ""));
    for (const MountStep& m : plan_.rootfs.mounts) {
      std::string action, detail = attributes_text(m.attributes);
      if (const auto* fs = std::get_if<FilesystemMount>(&m.what)) {
        action = "mount " + fs->fs_type;
        for (const auto& [key, value] : fs->options)
          add_word(detail, value ? key + "=" + *value : key);
        if (fs->copy_up) add_word(detail, "with a copy of what is below");
      } else if (const auto* bind = std::get_if<BindMount>(&m.what)) {
        action = bind->recursive ? "bind tree" : "bind";
        detail.insert(0, "from " + bind->source + (detail.empty() ? "" : " "));
      } else {
        action = std::get<CgroupMount>(m.what).readonly ? "cgroup view, read-only" : "cgroup view";
      }
      if (m.remount) action = "remount";
      if (!m.recursive_attributes.empty())
        add_word(detail, "recursively " + attributes_text(m.recursive_attributes), " ");
      if (m.propagation != Propagation::none) add_word(detail, propagation_name(m.propagation));
      if (m.idmap)
        add_word(detail,
                 m.idmap->uid.empty() ? "id-mapped as the container"
                                      : "uids " + mappings_text(m.idmap->uid),
                 " ");
      add("mounts", action, m.destination, detail);
    }
  }

  void devices() {
    for (const DeviceStep& d : plan_.rootfs.devices) {
      const char type = d.type == DeviceType::block ? 'b' : d.type == DeviceType::fifo ? 'p' : 'c';
      std::string detail(1, type);
      if (d.type != DeviceType::fifo)
        detail += " " + std::to_string(d.major) + ":" + std::to_string(d.minor);
      if (!d.by_bind)
        detail += " " + octal(d.mode) + " " + std::to_string(d.uid) + ":" + std::to_string(d.gid);
      add("devices", d.by_bind ? "bind host's" : "make", d.path, detail);
    }
    for (const SymlinkStep& s : plan_.rootfs.symlinks) add("devices", "link", s.path, s.target);
    if (plan_.rootfs.bind_console) add("devices", "bind terminal", "/dev/console", "");
  }

  void hooks(std::string_view phase, std::string_view kind, const std::vector<oci::Hook>& list) {
    std::string filtered;
    if (kind == start_container_hooks && plan_.seccomp)
      filtered = plan_.seccomp_before_hooks ? "under the seccomp filter"
                                            : "before the seccomp filter is loaded";
    for (const oci::Hook& h : list) {
      std::string detail = h.timeout ? "at most " + std::to_string(*h.timeout) + " s" : "";
      if (!detail.empty() && !filtered.empty()) detail += ", ";
      add(phase, "hook " + std::string(kind), h.path, detail + filtered);
    }
  }

  void switch_root() {
    static constexpr std::array<std::string_view, 3> how = {"pivot_root", "move and chroot",
                                                            "chroot"};
    add("root", how[static_cast<size_t>(plan_.rootfs.root_switch)], plan_.rootfs.path, "");
    for (const std::string& p : plan_.rootfs.readonly_paths) add("root", "read-only", p, "");
    for (const std::string& p : plan_.rootfs.masked_paths) add("root", "mask", p, "");
  }

  void settings() {
    if (!plan_.hostname.empty()) add("settings", "hostname", plan_.hostname, "");
    if (!plan_.domainname.empty()) add("settings", "domainname", plan_.domainname, "");
    for (const auto& [path, value] : plan_.sysctl) add("settings", "sysctl", path, value);
    if (const auto& rdt = plan_.intel_rdt) {
      const std::string group = "/" + rdt->group;
      add("settings", "resctrl group", group,
          !rdt->named             ? "removed with the container"
          : rdt->schemata.empty() ? "has to be there"
                                  : "made, or its schemata have to match");
      for (const std::string& line : rdt->schemata) add("settings", "resctrl schemata", line, "");
      if (!rdt->mon_group.empty())
        add("settings", "resctrl monitoring",
            group == "/" ? "/mon_groups/" + rdt->mon_group
                         : group + "/mon_groups/" + rdt->mon_group,
            "");
    }
  }

  void process() {
    const ProcessPlan& p = plan_.process;
    std::string groups;
    for (uint32_t g : p.additional_gids) add_word(groups, std::to_string(g));
    if (p.keep_groups) groups = "the caller's";
    add("process", "user", std::to_string(p.uid) + ":" + std::to_string(p.gid),
        (groups.empty() ? "" : "groups " + groups + ", ") + "umask " +
            octal(p.umask.value_or(022)));
    if (const auto& c = p.capabilities) {
      add("process", "capabilities", "bounding", capabilities_text(c->bounding));
      add("process", "capabilities", "permitted", capabilities_text(c->permitted));
      add("process", "capabilities", "effective", capabilities_text(c->effective));
      add("process", "capabilities", "inheritable", capabilities_text(c->inheritable));
      add("process", "capabilities", "ambient", capabilities_text(c->ambient));
    }
    for (const RlimitPlan& r : p.rlimits)
      add("process", "limit", r.name, std::to_string(r.soft) + " of " + std::to_string(r.hard));
    if (p.oom_score_adj) add("process", "oom_score_adj", std::to_string(*p.oom_score_adj), "");
    if (p.scheduler)
      add("process", "scheduler", "policy " + std::to_string(p.scheduler->policy),
          "nice " + std::to_string(p.scheduler->nice) + ", priority " +
              std::to_string(p.scheduler->priority));
    if (p.io_priority)
      add("process", "I/O priority", "class " + std::to_string(*p.io_priority >> 13),
          "level " + std::to_string(*p.io_priority & 7));
    if (p.memory_policy) add("process", "memory policy", std::to_string(p.memory_policy->mode), "");
    if (p.personality) add("process", "personality", std::to_string(*p.personality), "");
    if (!p.apparmor_profile.empty()) add("process", "AppArmor", p.apparmor_profile, "");
    if (!p.selinux_label.empty()) add("process", "SELinux", p.selinux_label, "");
    if (p.new_session_keyring) add("process", "new session keyring", "", "");
    if (p.terminal) add("process", "terminal", "", "");
    add("process", "working directory", p.cwd, "");
    if (p.no_new_privileges) add("process", "no new privileges", "", "");
    if (plan_.seccomp)
      add("process", "seccomp", plan_.seccomp->default_action,
          std::to_string(plan_.seccomp->syscalls.size()) + " rules, loaded " +
              (plan_.seccomp_before_capabilities ? "before capabilities are dropped"
                                                 : "as the last act"));
  }

  const Plan& plan_;
  const HostFacts& facts_;
  std::vector<PlanStep> steps_;
};

}  // namespace

std::string attributes_text(const MountAttributes& attributes) {
  struct Name {
    uint64_t bit;
    std::string_view set, clear;
  };
  static constexpr std::array<Name, 6> names = {
      {{mount_attr_rdonly, "ro", "rw"},
       {mount_attr_nosuid, "nosuid", "suid"},
       {mount_attr_nodev, "nodev", "dev"},
       {mount_attr_noexec, "noexec", "exec"},
       {mount_attr_nodiratime, "nodiratime", "diratime"},
       {mount_attr_nosymfollow, "nosymfollow", "symfollow"}}};
  std::string text;
  for (const Name& n : names) {
    if (attributes.set & n.bit) add_word(text, n.set);
    if (attributes.clear & n.bit) add_word(text, n.clear);
  }
  if (attributes.clear & mount_attr_atime)
    add_word(text, attributes.set & mount_attr_strictatime ? "strictatime"
                   : attributes.set & mount_attr_noatime   ? "noatime"
                                                           : "relatime");
  return text;
}

std::vector<PlanStep> plan_steps(const Plan& plan, const HostFacts& facts) {
  return StepWriter(plan, facts).write();
}

std::string plan_table(const Plan& plan, const HostFacts& facts) {
  const std::vector<PlanStep> steps = plan_steps(plan, facts);
  const std::array<std::string PlanStep::*, 4> columns = {&PlanStep::phase, &PlanStep::action,
                                                          &PlanStep::object, &PlanStep::detail};
  const std::array<std::string, 4> titles = {"PHASE", "ACTION", "OBJECT", "DETAIL"};
  // A long object pushes its own detail to the right instead of everybody's.
  const std::array<size_t, 4> widest = {16, 24, 32, 0};
  std::array<size_t, 4> width{};
  for (size_t c = 0; c < columns.size(); ++c) {
    width[c] = titles[c].size();
    for (const PlanStep& s : steps)
      if ((s.*columns[c]).size() <= widest[c])
        width[c] = std::max(width[c], (s.*columns[c]).size());
  }
  std::string text;
  const auto line = [&](auto&& cell) {
    std::string row;
    for (size_t c = 0; c < columns.size(); ++c) {
      const std::string& value = cell(c);
      row += value;
      if (c + 1 < columns.size())
        row.append(value.size() < width[c] ? width[c] - value.size() : 0, ' ').append("  ");
    }
    row.resize(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  };
  line([&](size_t c) -> const std::string& { return titles[c]; });
  for (const PlanStep& s : steps)
    line([&](size_t c) -> const std::string& { return s.*columns[c]; });
  for (const std::string& w : plan.warnings) text += "warning: " + w + "\n";
  return text;
}

std::string plan_json(const Plan& plan, const HostFacts& facts) {
  oci::JsonOutput out(2);
  const auto member = [&](std::string_view name, const std::string& value) {
    out.key(name);
    out.string(value);
  };
  out.begin_object();
  member("id", plan.id);
  member("bundle", plan.bundle);
  out.key("rootless");
  out.boolean(plan.rootless);
  out.key("steps");
  out.begin_array();
  for (const PlanStep& s : plan_steps(plan, facts)) {
    out.begin_object();
    member("phase", s.phase);
    member("action", s.action);
    if (!s.object.empty()) member("object", s.object);
    if (!s.detail.empty()) member("detail", s.detail);
    out.end_object();
  }
  out.end_array();
  out.key("warnings");
  out.begin_array();
  for (const std::string& w : plan.warnings) out.string(w);
  out.end_array();
  out.end_object();
  return out.take() + "\n";
}

}  // namespace vessel
