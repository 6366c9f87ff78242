// linux.resources.cpu (config-linux.md "CPU") as writes.
#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/resources_build.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

std::string cpu_path(std::string_view field) {
  return "linux.resources.cpu." + std::string(field);
}

void check_idle(const oci::CpuLimits& cpu) {
  if (cpu.idle && *cpu.idle != 0 && *cpu.idle != 1)
    throw Error(cpu_path("idle") + ": " + std::to_string(*cpu.idle) + " is neither 0 nor 1");
}

// cpu.idle and weights exclude each other in the kernel: while a group is idle its weight cannot be
// written. So "not idle" goes before the weight and "idle" after it.
void put_idle(const oci::CpuLimits& cpu, bool before, WriteBuilder& to) {
  if (cpu.idle && (*cpu.idle == 0) == before)
    to.put("cpu", "cpu.idle", std::to_string(*cpu.idle), cpu_path("idle"));
}

void v2(const oci::CpuLimits& cpu, WriteBuilder& to) {
  put_idle(cpu, true, to);
  if (cpu.shares.value_or(0) != 0)
    to.put("cpu", "cpu.weight", std::to_string(cpu_weight_of_shares(*cpu.shares)),
           cpu_path("shares"));
  put_idle(cpu, false, to);
  if (cpu.burst)
    to.put("cpu", "cpu.max.burst", std::to_string(*cpu.burst), cpu_path("burst"),
           WriteRule::retry_last);
  int64_t quota = cpu.quota.value_or(0);
  uint64_t period = cpu.period.value_or(0);
  if (quota != 0 || period != 0) {
    // The file takes both values; the one that is not given stays as it is.
    std::string quota_text = quota > 0 ? std::to_string(quota) : "max", period_text = "100000";
    if ((quota == 0 || period == 0) && !to.view.fresh) {
      auto now = to.current("cpu", "cpu.max");
      auto parts = now ? split(*now, " ") : std::vector<std::string_view>{};
      if (parts.size() == 2 && quota == 0) quota_text = parts[0];
      if (parts.size() == 2) period_text = parts[1];
    }
    if (period != 0) period_text = std::to_string(period);
    to.put("cpu", "cpu.max", quota_text + " " + period_text,
           cpu_path(quota != 0 ? "quota" : "period"));
  }
  if (cpu.realtime_runtime.value_or(0) != 0)
    to.unsupported(cpu_path("realtimeRuntime"), "realtime budget in cgroup v2");
  if (cpu.realtime_period.value_or(0) != 0)
    to.unsupported(cpu_path("realtimePeriod"), "realtime budget in cgroup v2");
}

void v1(const oci::CpuLimits& cpu, WriteBuilder& to) {
  put_idle(cpu, true, to);
  if (cpu.shares.value_or(0) != 0) {
    // The kernel would silently move the value into its range.
    if (*cpu.shares < 2 || *cpu.shares > 262144)
      throw Error(cpu_path("shares") + ": " + std::to_string(*cpu.shares) +
                  " is not in 2 to 262144");
    to.put("cpu", "cpu.shares", std::to_string(*cpu.shares), cpu_path("shares"));
  }
  put_idle(cpu, false, to);
  if (cpu.period.value_or(0) != 0)
    to.put("cpu", "cpu.cfs_period_us", std::to_string(*cpu.period), cpu_path("period"),
           WriteRule::retry_last);
  if (cpu.burst)
    to.put("cpu", "cpu.cfs_burst_us", std::to_string(*cpu.burst), cpu_path("burst"),
           WriteRule::retry_last);
  if (cpu.quota.value_or(0) != 0)
    to.put("cpu", "cpu.cfs_quota_us", std::to_string(*cpu.quota), cpu_path("quota"));
  // Before the first process: a SCHED_RR task cannot enter a group without a realtime budget.
  if (cpu.realtime_period.value_or(0) != 0)
    to.put("cpu", "cpu.rt_period_us", std::to_string(*cpu.realtime_period),
           cpu_path("realtimePeriod"), WriteRule::retry_last);
  if (cpu.realtime_runtime.value_or(0) != 0)
    to.put("cpu", "cpu.rt_runtime_us", std::to_string(*cpu.realtime_runtime),
           cpu_path("realtimeRuntime"));
}

bool any_time_set(const oci::CpuLimits& cpu) {
  return cpu.shares.value_or(0) != 0 || cpu.quota.value_or(0) != 0 || cpu.period.value_or(0) != 0 ||
         cpu.burst || cpu.idle || cpu.realtime_runtime.value_or(0) != 0 ||
         cpu.realtime_period.value_or(0) != 0;
}

}  // namespace

void cpu_writes(const oci::CpuLimits& cpu, WriteBuilder& to) {
  check_idle(cpu);
  if (any_time_set(cpu))
    to.at("cpu", "linux.resources.cpu") == ControllerAt::v2 ? v2(cpu, to) : v1(cpu, to);
  if (!cpu.cpus.empty()) to.put("cpuset", "cpuset.cpus", cpu.cpus, cpu_path("cpus"));
  if (!cpu.mems.empty()) to.put("cpuset", "cpuset.mems", cpu.mems, cpu_path("mems"));
}

}  // namespace vessel
