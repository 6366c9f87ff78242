// Owns: the sequence of a process that enters a container for exec.
// Does not own: the clone (parent.cc), the shared last part (user_program.cc).
#pragma once

#include <cstdint>
#include <string>

#include "runtime/cgroup/cgroup.hh"
#include "runtime/launch/protocol.hh"
#include "runtime/plan/plan.hh"

namespace vessel {

struct JoinContext {
  const ProcessPlan& process;
  const CgroupEntry& entry;
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

// Where the caller lacks the rights to do it before the clone (rootless): the helper enters
// everything at once, for the user namespace gives it the rights for the others.
void enter_container(int init_pidfd, uint64_t namespaces);

[[noreturn]] void run_joiner(const JoinContext& context, Asker parent);

}  // namespace vessel
