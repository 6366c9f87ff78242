// Owns: the sequence of a process that enters a container for exec.
// Does not own: the clone (parent.cc), the shared last part (user_program.cc).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "runtime/cgroup/cgroup.hh"
#include "runtime/launch/protocol.hh"
#include "runtime/plan/plan.hh"

namespace vessel {

// Where to go when the container's cgroup takes no process any more; nullopt: that is an error.
using CgroupFallback = std::function<std::optional<CgroupEntry>()>;

struct JoinContext {
  const ProcessPlan& process;
  const CgroupEntry& entry;
  const CgroupFallback& fallback;
  int init_pidfd;
  std::string keyring_of;   // the container whose session keyring is joined; empty: none
  int root = -1;            // init's root directory, where it has no mount namespace of its own
  uint64_t namespaces = 0;  // CLONE_NEW* to enter; without those the clone already gave
  bool has_seccomp = false;
  bool seccomp_before_capabilities = false;
  bool rootless = false;
  bool enter_v2 = false;
  int gate = -1;
  uint32_t inherited_fds = 0;
};

// What clone3 and a write to cgroup.procs say of a v2 cgroup that is gone, or that has cgroups
// below it with controllers: a process may only live in a leaf.
bool takes_no_process(int error);

// In the new process, before it enters a namespace: into `entry`, and where a clone that could not
// do it left the v2 cgroup to the process and that takes none, into the fallback.
void enter_cgroup(const CgroupEntry& entry, bool enter_v2, const CgroupFallback& fallback);

// Where the caller lacks the rights to do it before the clone (rootless): the helper enters
// everything at once, for the user namespace gives it the rights for the others.
void enter_container(int init_pidfd, uint64_t namespaces);

// As run_init: neither it nor an exception of it returns.
[[noreturn]] void run_joiner(const JoinContext& context, Asker parent) noexcept;

}  // namespace vessel
