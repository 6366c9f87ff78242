// Owns: the sequence that turns a freshly cloned process into a container's init.
// Does not own: the clone (parent.cc), the steps themselves.
#pragma once

#include <map>
#include <string>

#include "oci-spec/runtime_state.hh"
#include "runtime/cgroup/cgroup.hh"
#include "runtime/host/facts.hh"
#include "runtime/launch/protocol.hh"
#include "runtime/plan/plan.hh"

namespace vessel {

// Made by the parent before the clone and inherited by memory; nothing is serialised.
struct InitContext {
  const Plan& plan;
  CgroupLayout layout;
  const CgroupEntry& entry;
  const std::map<std::string, std::string>& cgroup_paths;  // CgroupRecord::paths
  bool cgroups_complete = false;                           // Cgroup::in_every_hierarchy
  oci::State state;              // for hooks that init runs; their pid is the container's own
  int gate = -1;                 // exec_fifo.hh
  uint32_t inherited_fds = 0;    // LISTEN_FDS and --preserve-fds
  bool enter_v2 = false;         // it could not be cloned into the v2 cgroup
  bool user_is_settled = false;  // a helper made the user namespace and was mapped
};

// Does not return: it ends in the user's program, or tells the parent why not and exits. Nor does
// an exception leave it: what lies further up the stack is the parent's code, with its clean-up.
[[noreturn]] void run_init(const InitContext& context, Asker parent) noexcept;

}  // namespace vessel
