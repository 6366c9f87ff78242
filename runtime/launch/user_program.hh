// Owns: the last part of the way, the same for init and for exec: from a process that stands in its
// namespaces and its root to the user's program. Does not own: how it got there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oci-spec/runtime_config.hh"
#include "oci-spec/runtime_state.hh"
#include "runtime/launch/protocol.hh"
#include "runtime/plan/plan.hh"
#include "runtime/security/seccomp.hh"
#include "runtime/sys/procfs.hh"

namespace vessel {

struct UserProgram {
  const ProcessPlan& process;
  bool setgroups_denied = false;
  bool rootless = false;
  bool make_cwd = false;  // init makes a missing working directory, exec does not
  bool has_seccomp = false;
  bool seccomp_before_capabilities = false;
  bool seccomp_before_hooks = false;
  int gate = -1;                   // where to wait for `start`; -1: nowhere
  uint32_t inherited_fds = 0;      // descriptors 3 … 3 + n - 1 stay open
  const ProcFs* procfs = nullptr;  // needed only with labels
  const std::vector<oci::Hook>* start_hooks = nullptr;
  oci::State state;  // what the hooks read; pid as seen in the container
};

// Kills the caller when the parent dies. Cleared by the kernel at each change of credentials.
void die_with_parent();

// No signal blocked, whatever the parent's event loop needs.
void unblock_signals();

// Does not return. Failures before `loaded` throw; later ones go to the gate or to the parent, and
// the process exits.
[[noreturn]] void become_user_program(const UserProgram& program, Asker& parent);

// How the program travels with the answer to `ready`.
std::string encode_program(const SeccompProgram& program);
SeccompProgram decode_program(const std::string& bytes);

}  // namespace vessel
