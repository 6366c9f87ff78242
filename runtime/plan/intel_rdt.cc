#include <algorithm>
#include <array>

#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

// What the kernel puts beside the groups (Documentation/filesystems/resctrl.rst).
constexpr std::array<std::string_view, 4> taken_names = {"info", "mon_data", "mon_groups", ""};

bool is_group_name(const std::string& name) {
  return name != "." && name != ".." && name.find_first_of("/\n") == name.npos &&
         std::ranges::find(taken_names, name) == taken_names.end();
}

}  // namespace

// config-linux.md "IntelRdt".
std::optional<IntelRdtPlan> plan_intel_rdt(const PlanContext& context) {
  if (!context.linux_.intel_rdt) return std::nullopt;
  const oci::IntelRdt& rdt = *context.linux_.intel_rdt;
  if (!context.facts.resctrl)
    context.problems.host(
        "linux.intelRdt",
        "no resctrl file system is mounted: it takes a processor with resource control, a kernel "
        "with CONFIG_X86_CPU_RESCTRL and `mount -t resctrl resctrl /sys/fs/resctrl`");
  IntelRdtPlan plan;
  plan.named = !rdt.clos_id.empty();
  if (rdt.clos_id != "/") plan.group = plan.named ? rdt.clos_id : context.options.id;
  if (!plan.group.empty() && !is_group_name(plan.group))
    context.problems.config(
        "linux.intelRdt.closID",
        plan.named ? "expected one name without \"/\" that is none of the kernel's, or \"/\""
                   : "is needed: the container's id is no name for a resctrl group");
  if (rdt.enable_monitoring) plan.mon_group = context.options.id;

  const auto add = [&](std::string path, const std::string& line) {
    if (line.find('\n') != line.npos)
      context.problems.config(std::move(path), "must not contain a newline");
    else if (!line.empty())
      plan.schemata.push_back(line);
  };
  // This order is the specification's.
  add("linux.intelRdt.l3CacheSchema", rdt.l3_cache_schema);
  add("linux.intelRdt.memBwSchema", rdt.mem_bw_schema);
  if (rdt.schemata)
    for (size_t i = 0; i < rdt.schemata->size(); ++i)
      add(at("linux.intelRdt.schemata", i), (*rdt.schemata)[i]);
  return plan;
}

}  // namespace vessel
