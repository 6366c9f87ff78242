// Owns: what belongs to the process and is set from outside or needs the caller's privileges:
// rlimits, scheduling, I/O priority, affinity, oom_score_adj; and memory policy and personality,
// which a process sets on itself. Does not own: cgroup limits.
#pragma once

#include <sys/types.h>

#include <optional>

#include "runtime/plan/plan.hh"

namespace vessel {

// By the parent, late: a low limit must not hit the set-up. In a new user namespace only the parent
// has the rights to raise one. Throws SysError naming the property; a limit that it has no right to
// set is left to apply_own_rlimits, and false returned.
bool apply_limits(pid_t pid, const ProcessPlan& plan);

// `pid` 0: the calling process. Without the right to lower it: an error unless `rootless`.
void set_oom_score(pid_t pid, int32_t score, bool rootless);

// On the calling process, after apply_limits: the limits that differ from the plan. Lowering one
// needs no right, raising one fails here with EPERM.
void apply_own_rlimits(const ProcessPlan& plan);

// execCPUAffinity.initial of the calling process while the object lives: for what it clones. Throws
// SysError.
class AffinityOfLaunch {
 public:
  explicit AffinityOfLaunch(const ProcessPlan& plan);
  ~AffinityOfLaunch();
  AffinityOfLaunch(const AffinityOfLaunch&) = delete;
  AffinityOfLaunch& operator=(const AffinityOfLaunch&) = delete;

 private:
  std::optional<CpuSet> own_;
};

// On the calling process: memory policy, personality.
void apply_own_limits(const ProcessPlan& plan);

}  // namespace vessel
