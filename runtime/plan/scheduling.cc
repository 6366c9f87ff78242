#include <array>
#include <optional>
#include <utility>

#include "runtime/plan/rooms.hh"
#include "runtime/plan/scheduling_names.hh"

namespace vessel {

namespace {

template <size_t N>
std::optional<uint32_t> value_of(const std::array<NamedValue, N>& table, std::string_view name) {
  for (const NamedValue& v : table)
    if (v.name == name) return v.value;
  return std::nullopt;
}

SchedulerPlan plan_scheduler(const oci::Scheduler& s, Problems& problems) {
  SchedulerPlan plan;
  const auto policy = value_of(scheduler_policies, s.policy);
  if (!policy) problems.config("process.scheduler.policy", "unknown policy \"" + s.policy + "\"");
  plan.policy = policy.value_or(0);
  if (s.policy == "SCHED_ISO")
    problems.host("process.scheduler.policy", "SCHED_ISO was never part of Linux");
  for (size_t i = 0; i < s.flags.size(); ++i) {
    const auto flag = value_of(scheduler_flags, s.flags[i]);
    if (!flag)
      problems.config(at("process.scheduler.flags", i), "unknown flag \"" + s.flags[i] + "\"");
    plan.flags |= flag.value_or(0);
  }
  plan.nice = s.nice.value_or(0);
  const int32_t priority = s.priority.value_or(0);
  plan.priority = static_cast<uint32_t>(priority);
  plan.runtime = s.runtime.value_or(0);
  plan.deadline = s.deadline.value_or(0);
  plan.period = s.period.value_or(0);

  const bool normal = s.policy == "SCHED_OTHER" || s.policy == "SCHED_BATCH";
  const bool realtime = s.policy == "SCHED_FIFO" || s.policy == "SCHED_RR";
  const bool deadline = s.policy == "SCHED_DEADLINE";
  if (normal && (plan.nice < -20 || plan.nice > 19))
    problems.config("process.scheduler.nice", "expected -20 to 19");
  if (!realtime && priority != 0)
    problems.config("process.scheduler.priority", "is only for SCHED_FIFO and SCHED_RR");
  if (realtime && (priority < 1 || priority > 99))
    problems.config("process.scheduler.priority", "expected 1 to 99 for " + s.policy);
  if (!deadline && (plan.runtime || plan.deadline || plan.period))
    problems.config("process.scheduler",
                    "runtime, deadline and period are only for SCHED_DEADLINE");
  // sched(7): runtime <= deadline <= period, a period of 0 is the deadline.
  if (deadline && (plan.runtime < 1024 || plan.runtime > plan.deadline ||
                   (plan.period != 0 && plan.deadline > plan.period)))
    problems.config("process.scheduler", "expected 1024 <= runtime <= deadline <= period");
  return plan;
}

uint16_t plan_io_priority(const oci::IoPriority& p, Problems& problems) {
  const auto io_class = value_of(io_priority_classes, p.io_class);
  if (!io_class)
    problems.config("process.ioPriority.class", "unknown class \"" + p.io_class + "\"");
  if (p.priority < 0 || p.priority > 7)
    problems.config("process.ioPriority.priority", "expected 0 (highest) to 7 (lowest)");
  // linux/ioprio.h: IOPRIO_PRIO_VALUE
  return static_cast<uint16_t>(io_class.value_or(0) << 13 |
                               (static_cast<uint32_t>(p.priority) & 7));
}

MemoryPolicyPlan plan_memory_policy(const oci::MemoryPolicy& m, const ProcessContext& context) {
  Problems& problems = context.problems;
  MemoryPolicyPlan plan;
  const auto mode = value_of(memory_policy_modes, m.mode);
  if (!mode) problems.config("linux.memoryPolicy.mode", "unknown mode \"" + m.mode + "\"");
  const auto needs = [&](std::string_view name, uint32_t major, uint32_t minor) {
    if (m.mode == name && !context.facts.kernel_at_least(major, minor))
      problems.host("linux.memoryPolicy.mode",
                    m.mode + " needs Linux " + std::to_string(major) + "." + std::to_string(minor));
  };
  needs("MPOL_PREFERRED_MANY", 5, 15);
  needs("MPOL_WEIGHTED_INTERLEAVE", 6, 9);
  uint32_t bits = mode.value_or(0);
  for (size_t i = 0; i < m.flags.size(); ++i) {
    const auto flag = value_of(memory_policy_flags, m.flags[i]);
    if (!flag)
      problems.config(at("linux.memoryPolicy.flags", i), "unknown flag \"" + m.flags[i] + "\"");
    bits |= flag.value_or(0);
  }
  plan.mode = static_cast<int>(bits);
  std::optional<CpuSet> nodes = parse_cpu_list(m.nodes);
  if (!nodes) {
    problems.config("linux.memoryPolicy.nodes", "expected a list such as 0-3,7");
    return plan;
  }
  plan.node_mask = std::move(*nodes);
  const bool none = m.mode == "MPOL_DEFAULT" || m.mode == "MPOL_LOCAL";
  if (none && !plan.node_mask.empty())
    problems.config("linux.memoryPolicy.nodes", "must be empty with " + m.mode);
  if (mode && !none && m.mode != "MPOL_PREFERRED" && plan.node_mask.empty())
    problems.config("linux.memoryPolicy.nodes", "must name at least one node with " + m.mode);
  return plan;
}

std::optional<CpuSet> plan_affinity(const std::string& list, std::string path, Problems& problems) {
  if (list.empty()) return std::nullopt;
  std::optional<CpuSet> set = parse_cpu_list(list);
  if (!set || set->empty())
    problems.config(std::move(path), "expected a list such as 0-3,7, got \"" + list + "\"");
  return set;
}

}  // namespace

void plan_scheduling(const oci::Process& process, const ProcessContext& context,
                     ProcessPlan& plan) {
  Problems& problems = context.problems;
  if (process.scheduler) plan.scheduler = plan_scheduler(*process.scheduler, problems);
  if (process.io_priority) plan.io_priority = plan_io_priority(*process.io_priority, problems);
  if (context.linux_.memory_policy)
    plan.memory_policy = plan_memory_policy(*context.linux_.memory_policy, context);
  if (process.exec_cpu_affinity) {
    plan.affinity_initial = plan_affinity(process.exec_cpu_affinity->initial,
                                          "process.execCPUAffinity.initial", problems);
    plan.affinity_final =
        plan_affinity(process.exec_cpu_affinity->final, "process.execCPUAffinity.final", problems);
  }
  if (const auto& p = context.linux_.personality) {
    // linux/personality.h: PER_LINUX, PER_LINUX32
    plan.personality = p->domain == "LINUX32" ? 8 : 0;
    if (!p->flags.empty())
      problems.config("linux.personality.flags", "the spec defines no flag yet");
  }
}

}  // namespace vessel
