#include "runtime/launch/limits.hh"

#include <fcntl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

constexpr int ioprio_who_process = 1;

struct SchedAttr {  // sched_setattr(2), the first published size
  uint32_t size = 48;
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0, deadline = 0, period = 0;
};
static_assert(sizeof(SchedAttr) == 48);

void set_affinity(pid_t pid, const CpuSet& set, const char* property) {
  if (::syscall(SYS_sched_setaffinity, pid, set.size() * sizeof set[0], set.data()) < 0)
    throw SysError(std::string("set ") + property);
}

// "every CPU": the kernel takes those of the cpuset.
void reset_affinity(pid_t pid) {
  static const CpuSet all(1024 / 64, ~uint64_t{0});
  ::syscall(SYS_sched_setaffinity, pid, all.size() * sizeof all[0], all.data());
}

[[noreturn]] void throw_rlimit(const RlimitPlan& limit) {
  int error = errno;
  throw SysError("set rlimit " + limit.name + " to " + std::to_string(limit.soft) + ":" +
                     std::to_string(limit.hard),
                 error);
}

}  // namespace

void set_oom_score(pid_t pid, int32_t score, bool rootless) {
  const std::string who = pid ? std::to_string(pid) : "self";
  try {
    write_existing(AT_FDCWD, "/proc/" + who + "/oom_score_adj", std::to_string(score));
  } catch (const SysError& e) {
    if (rootless && (e.code() == EACCES || e.code() == EPERM)) return;
    const std::string what = "set oomScoreAdj to " + std::to_string(score);
    if (e.code() == EACCES)  // proc(5)
      throw Error(what + ": " + error_text(EACCES) + ": lowering it needs CAP_SYS_RESOURCE");
    throw SysError(what, e.code());
  }
}

bool apply_limits(pid_t pid, const ProcessPlan& plan) {
  bool rlimits_set = true;
  for (const RlimitPlan& limit : plan.rlimits) {
    rlimit value{limit.soft, limit.hard};
    // Without CAP_SYS_RESOURCE prlimit(2) refuses a process of another user even what that one may
    // do itself: see apply_own_rlimits.
    if (::prlimit(pid, static_cast<__rlimit_resource>(limit.resource), &value, nullptr) == 0)
      continue;
    if (errno != EPERM) throw_rlimit(limit);
    rlimits_set = false;
  }
  if (plan.affinity_final)
    set_affinity(pid, *plan.affinity_final, "execCPUAffinity.final");
  else if (!plan.affinity_initial)
    reset_affinity(pid);
  if (plan.scheduler) {
    const SchedulerPlan& s = *plan.scheduler;
    SchedAttr attr;
    attr.policy = s.policy;
    attr.flags = s.flags;
    attr.nice = s.nice;
    attr.priority = s.priority;
    attr.runtime = s.runtime;
    attr.deadline = s.deadline;
    attr.period = s.period;
    if (::syscall(SYS_sched_setattr, pid, &attr, 0) < 0) throw SysError("set process.scheduler");
  }
  if (plan.io_priority &&
      ::syscall(SYS_ioprio_set, ioprio_who_process, pid, static_cast<int>(*plan.io_priority)) < 0)
    throw SysError("set process.ioPriority");
  return rlimits_set;
}

void apply_own_rlimits(const ProcessPlan& plan) {
  for (const RlimitPlan& limit : plan.rlimits) {
    const auto resource = static_cast<__rlimit_resource>(limit.resource);
    rlimit now{};
    if (::getrlimit(resource, &now) == 0 && now.rlim_cur == limit.soft &&
        now.rlim_max == limit.hard)
      continue;
    rlimit value{limit.soft, limit.hard};
    if (::setrlimit(resource, &value) < 0) throw_rlimit(limit);
  }
}

AffinityOfLaunch::AffinityOfLaunch(const ProcessPlan& plan) {
  if (!plan.affinity_initial) return;
  CpuSet own(1024 / 64);
  if (::syscall(SYS_sched_getaffinity, 0, own.size() * sizeof own[0], own.data()) > 0)
    own_ = std::move(own);
  set_affinity(0, *plan.affinity_initial, "execCPUAffinity.initial");
}

AffinityOfLaunch::~AffinityOfLaunch() {
  if (own_) ::syscall(SYS_sched_setaffinity, 0, own_->size() * sizeof own_->front(), own_->data());
}

void apply_own_limits(const ProcessPlan& plan) {
  if (plan.memory_policy) {
    const MemoryPolicyPlan& m = *plan.memory_policy;
    // The kernel takes one bit less than it is told.
    unsigned long bits = m.node_mask.empty() ? 0 : m.node_mask.size() * 64 + 1;
    if (::syscall(SYS_set_mempolicy, m.mode, m.node_mask.empty() ? nullptr : m.node_mask.data(),
                  bits) < 0)
      throw SysError("set linux.memoryPolicy");
  }
  if (plan.personality && ::personality(*plan.personality) < 0)
    throw SysError("set linux.personality");
}

}  // namespace vessel
