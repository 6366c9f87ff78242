// Owns: a Plan as a list of steps for people and programs to read.
// Does not own: deciding or doing any of them.
#pragma once

#include <string>
#include <vector>

#include "runtime/host/facts.hh"
#include "runtime/plan/plan.hh"

namespace vessel {

struct PlanStep {
  std::string phase;   // cgroup, namespaces, mounts, devices, root, process, hooks
  std::string action;  // "mount tmpfs"
  std::string object;  // what it is done to, "/dev/shm"
  std::string detail;  // "nosuid,noexec size=65536k"
};

// In the order in which `create` and `start` do them.
std::vector<PlanStep> plan_steps(const Plan& plan, const HostFacts& facts);

// "ro,nosuid,rw=clear" for mount attributes.
std::string attributes_text(const MountAttributes& attributes);

std::string plan_table(const Plan& plan, const HostFacts& facts);
std::string plan_json(const Plan& plan, const HostFacts& facts);

}  // namespace vessel
