// Owns: connecting a container's own network namespace to the world by pasta (package passt), and
// taking that down; both are done by hooks that stand in config.json, so that any OCI runtime does
// them. Does not own: which ports (published_port.hh), or the rest of the bundle.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "builder/steps/published_port.hh"
#include "oci-spec/runtime_config.hh"

namespace kiln {

// What a hook learns from the state document on its standard input.
struct HookState {
  std::string id, bundle;
  int pid = 0;
  bool runs_again = false;  // poststop between two runs of the same container
};
HookState read_hook_state(std::string_view json);

// Path of pasta; throws Error that names the package when it is not in PATH.
std::string find_pasta();

// The hooks of a container with a network of its own: createRuntime and poststop. kiln itself is
// their program (cli/hook.cc).
oci::Hook connect_hook(const std::vector<PublishedPort>& ports);
oci::Hook disconnect_hook();

// Arguments of pasta for these ports.
std::vector<std::string> pasta_arguments(const std::vector<PublishedPort>& ports);

// The container's resolv.conf made from the host's. Servers on a loopback address cannot be reached
// from inside: they are replaced by one that pasta forwards.
std::string container_resolv_conf(std::string_view host);

// createRuntime: starts pasta on the namespace of state.pid. BUNDLE/netns keeps the namespace,
// BUNDLE/pasta.pid names the process. Returns once ports are open. Throws Error with pasta's words.
void connect_network(const HookState& state, const std::vector<std::string>& arguments);

// poststop: ends pasta and lets go of the namespace. Without either there is nothing to do.
void disconnect_network(const std::string& bundle);

// Of bundles below `directory` that went with the mount namespace of a killed process, and their
// pid files with them: ends the pastas that were started for them.
void end_networks_below(const std::string& directory);

}  // namespace kiln
