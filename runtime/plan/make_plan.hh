// Owns: the way from a config to a Plan. Does not own: reading the config (oci-spec/), probing the
// host (host/), carrying the plan out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci-spec/runtime_config.hh"
#include "runtime/host/facts.hh"
#include "runtime/plan/plan.hh"
#include "runtime/plan/problems.hh"

namespace vessel {

struct PlanOptions {
  std::string id;
  std::string bundle;  // absolute
  bool systemd_cgroup = false;
  bool no_pivot = false;
  bool no_new_keyring = false;
  std::optional<bool> rootless;  // nullopt: without euid 0, or in a user namespace
  uint32_t preserve_fds = 0;
};

// Decides everything about a container. Throws oci::FormatError, named after the bundle's
// config.json, with every problem: what is wrong in the config and what this host cannot do.
// `unread`: what was wrong already in reading it.
Plan make_plan(oci::Config config, const HostFacts& facts, const PlanOptions& options,
               const std::vector<oci::Problem>& unread = {});

// Both kinds as one list; those of the plan left out that only follow from what could not be read.
std::vector<PlanProblem> all_problems(const std::vector<oci::Problem>& unread,
                                      std::vector<PlanProblem> problems);

// The same without throwing, for `check`: the plan is of use only when `problems` stays empty.
Plan try_plan(oci::Config config, const HostFacts& facts, const PlanOptions& options,
              std::vector<PlanProblem>& problems);

struct ExecOptions {
  uint32_t preserve_fds = 0;
};

// A process of `exec --process` that leaves out its capabilities, labels, limits, oom score,
// scheduling or I/O priority has the container's, as with runc: leaving out must not free it.
void complete_exec_process(oci::Process& process, const oci::Config& container);

// A further process for a container made from `container`: what belongs to the container and not
// to one process (user namespace, personality, memory policy, annotations) comes from there.
// Throws oci::FormatError.
ProcessPlan make_exec_process_plan(const oci::Process& process, const oci::Config& container,
                                   const HostFacts& facts, const ExecOptions& options);

}  // namespace vessel
