#include <algorithm>

#include "runtime/plan/default_devices.hh"
#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

constexpr std::string_view property_prefix = "org.systemd.property.";

bool denies_all(const oci::DeviceRule& rule) {
  const bool all_types = rule.type.empty() || rule.type == "a";
  const bool all_access = rule.access.empty() || (rule.access.find('r') != rule.access.npos &&
                                                  rule.access.find('w') != rule.access.npos &&
                                                  rule.access.find('m') != rule.access.npos);
  return !rule.allow && all_types && !rule.major && !rule.minor && all_access;
}

// The kernel's state before the first rule differs (v1: what the parent has; a filter of one's
// own: nothing), so the list says it. As with runc, a container that names no rule gets the default
// devices and no others.
std::vector<oci::DeviceRule> complete_device_rules(std::vector<oci::DeviceRule> rules) {
  for (oci::DeviceRule& rule : rules) {
    // Callers that have no "absent" write -1.
    if (rule.major && *rule.major < 0) rule.major.reset();
    if (rule.minor && *rule.minor < 0) rule.minor.reset();
  }
  std::vector<oci::DeviceRule> defaults;
  for (const DefaultRule& d : default_rules) {
    oci::DeviceRule rule;
    rule.allow = true;
    rule.type = d.type;
    if (d.major >= 0) rule.major = d.major;
    if (d.minor >= 0) rule.minor = d.minor;
    rule.access = d.access;
    defaults.push_back(std::move(rule));
  }
  const bool open = !rules.empty() && (rules[0].type.empty() || rules[0].type == "a");
  if (!open) {
    oci::DeviceRule deny;
    deny.type = "a";
    deny.access = "rwm";
    rules.insert(rules.begin(), std::move(deny));
  }
  // Behind the rules that allow more, whose order among themselves means nothing; before the first
  // that denies, which is meant to deny a default device too.
  const auto last = std::find_if(rules.rbegin(), rules.rend(), denies_all);
  const auto place = std::find_if(last.base(), rules.end(), [](const oci::DeviceRule& r) {
    return !r.allow || r.type.empty() || r.type == "a";  // "a" replaces all before it on v1
  });
  rules.insert(place, defaults.begin(), defaults.end());
  return rules;
}

bool is_property_name(std::string_view name) {
  return name.size() >= 3 && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
         });
}

// A cgroup below the container's own, by annotation; empty for none. Annotations may be an image's:
// a path would lead into the cgroups of others, away from the limits.
std::string cgroup_name(const PlanContext& context, const std::string& annotation) {
  const auto found = context.config.annotations.find(annotation);
  if (found == context.config.annotations.end()) return {};
  const std::string& name = found->second;
  if (name.find_first_of("/\n") != name.npos || name == "." || name == "..")
    context.problems.config("annotations[\"" + annotation + "\"]",
                            "expected one name without \"/\"");
  return name;
}

SystemdUnitPlan plan_unit(const PlanContext& context) {
  SystemdUnitPlan unit;
  const std::string& path = context.linux_.cgroups_path;
  std::string prefix = "vessel", name = context.options.id;
  if (!path.empty()) {
    const size_t first = path.find(':');
    const size_t second = first == path.npos ? path.npos : path.find(':', first + 1);
    if (second == path.npos || path.find(':', second + 1) != path.npos ||
        path.find('/') != path.npos) {
      context.problems.config("linux.cgroupsPath",
                              "expected slice:prefix:name for systemd, got \"" + path + "\"");
      return unit;
    }
    unit.slice = path.substr(0, first);
    prefix = path.substr(first + 1, second - first - 1);
    name = path.substr(second + 1);
    if (name.empty()) context.problems.config("linux.cgroupsPath", "the name must not be empty");
    if (!unit.slice.empty() && unit.slice != "-" && !unit.slice.ends_with(".slice"))
      context.problems.config("linux.cgroupsPath", "\"" + unit.slice + "\" does not end in .slice");
  }
  if (unit.slice.empty()) unit.slice = context.rootless ? "user.slice" : "system.slice";
  unit.unit = name.ends_with(".slice") ? name
              : prefix.empty()         ? name + ".scope"
                                       : prefix + "-" + name + ".scope";
  for (const auto& [key, value] : context.config.annotations) {
    if (!key.starts_with(property_prefix)) continue;
    const std::string property = key.substr(property_prefix.size());
    if (is_property_name(property))
      unit.properties.emplace(property, value);
    else
      context.problems.config("annotations[\"" + key + "\"]",
                              "expected a property name of three or more letters");
  }
  unit.subgroup = cgroup_name(context, "run.oci.systemd.subgroup");
  return unit;
}

// config-linux.md "Cgroup ownership".
bool to_be_delegated(const PlanContext& context, const NamespacePlan& namespaces) {
  if (context.facts.cgroup_layout != CgroupLayout::v2) return false;
  if (!namespaces.is_new(NamespaceKind::cgroup)) return false;
  const auto& mounts = context.config.mounts;
  return std::any_of(mounts.begin(), mounts.end(), [](const oci::Mount& m) {
    return m.source == "cgroup" && clean_absolute(m.destination) == "/sys/fs/cgroup" &&
           std::find(m.options.begin(), m.options.end(), "ro") == m.options.end();
  });
}

void check_resources(const PlanContext& context) {
  const oci::Resources& r = *context.linux_.resources;
  const bool v2 = context.facts.cgroup_layout == CgroupLayout::v2;
  if (!r.unified.empty() && context.facts.cgroup_layout == CgroupLayout::v1)
    context.problems.host("linux.resources.unified", "needs a cgroup v2 hierarchy");
  for (const auto& [file, value] : r.unified)
    if (file.empty() || file.find('/') != file.npos || file == "." || file == "..")
      context.problems.config("linux.resources.unified[\"" + file + "\"]",
                              "expected the name of a file in a cgroup");
  if (r.memory) {
    const oci::MemoryLimits& m = *r.memory;
    if (m.swappiness && *m.swappiness > 100 && *m.swappiness != ~uint64_t{0})
      context.problems.config("linux.resources.memory.swappiness", "expected 0 to 100");
    // v2 limits swap alone: memory + swap has a meaning only beside a limit of memory.
    if (v2 && m.swap.value_or(0) > 0 && m.limit.value_or(0) == 0)
      context.problems.config("linux.resources.memory.swap",
                              "cannot be converted for cgroup v2 without memory.limit");
    if (m.swap.value_or(0) > 0 && m.limit.value_or(0) > 0 && *m.swap < *m.limit)
      context.problems.config("linux.resources.memory.swap",
                              "is memory and swap together: must not be below memory.limit");
  }
  if (r.cpu) {
    const oci::CpuLimits& c = *r.cpu;
    const auto list = [&](const std::string& text, std::string_view member) {
      if (!parse_cpu_list(text))
        context.problems.config("linux.resources.cpu." + std::string(member),
                                "expected a list such as 0-3,7, got \"" + text + "\"");
    };
    list(c.cpus, "cpus");
    list(c.mems, "mems");
    if (c.burst && c.quota.value_or(0) > 0 && *c.burst > static_cast<uint64_t>(*c.quota))
      context.problems.config("linux.resources.cpu.burst", "must not be above cpu.quota");
    if (c.burst.value_or(0) > 0 && !context.facts.kernel_at_least(5, 14))
      context.problems.host("linux.resources.cpu.burst", "needs Linux 5.14");
    if (c.idle.value_or(0) != 0 && !context.facts.kernel_at_least(5, 15))
      context.problems.host("linux.resources.cpu.idle", "needs Linux 5.15");
  }
}

}  // namespace

CgroupPlan plan_cgroup(const PlanContext& context, const NamespacePlan& namespaces) {
  CgroupPlan plan;
  plan.optional = context.rootless;
  if (context.linux_.resources) {
    plan.resources = *context.linux_.resources;
    check_resources(context);
  }
  plan.resources.devices = complete_device_rules(std::move(plan.resources.devices));
  plan.delegate = cgroup_name(context, "run.oci.delegate-cgroup");
  if (context.options.systemd_cgroup) {
    plan.driver = CgroupDriver::systemd;
    plan.systemd = plan_unit(context);
  } else if (context.facts.cgroup_layout == CgroupLayout::none) {
    plan.driver = CgroupDriver::none;
  } else {
    // ".." stops at the top, as with every other runtime.
    const std::string& path = context.linux_.cgroups_path;
    plan.path = path.empty() ? "/" + context.options.id : clean_absolute(path);
    if (!path.starts_with('/')) plan.path.erase(0, 1);
    if (plan.path.empty() || plan.path == "/")
      context.problems.config("linux.cgroupsPath", "must not be the root of the hierarchy");
  }
  plan.chown_to_container = to_be_delegated(context, namespaces);
  return plan;
}

}  // namespace vessel
