// Owns: running one kind of hook: the list in order, until the first that fails (poststop: all).
// Does not own: when and in which namespaces a kind runs (operations/, launch/), or what its
// failure leads to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oci-spec/runtime_config.hh"
#include "runtime/sys/log.hh"

namespace vessel {

inline constexpr std::string_view start_container_hooks = "startContainer";

// What the hooks of one kind find. Each has exactly its own environment.
struct HookSurroundings {
  std::string state_json;  // on stdin
  // Hooks on the host find the bundle as their working directory, as with runc and crun; where it
  // is gone, and for those inside (empty): the caller's.
  std::string directory;
  std::vector<std::string>
      default_env;  // of hooks without `env`: the container's for startContainer
};

// Throws Error "createRuntime hook 1 (/bin/x): exit status 1: OUTPUT"; those behind it do not run.
void run_hooks(std::string_view kind, const std::vector<oci::Hook>& hooks,
               const HookSurroundings& around);

// runtime.md "Lifecycle" 13: one that fails is reported as a warning, and the others run all the
// same.
void run_poststop_hooks(const std::vector<oci::Hook>& hooks, const HookSurroundings& around,
                        void (*report)(std::string_view) = log::warn) noexcept;

}  // namespace vessel
