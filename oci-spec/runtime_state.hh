// Owns: the state document of runtime.md "State" and the seccomp state that is sent with a notify
// fd (config-linux.md "containerProcessState"). Does not own: how a runtime keeps its own state
// file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace oci {

// `status`: creating, created, running, stopped (runtime.md), or paused (runc's extension).
// `pid` is 0 when stopped and then written only as runc does ("pid": 0 for `state`).
struct State {
  std::string version;
  std::string id;
  std::string status;
  int64_t pid = 0;
  std::string bundle;
  std::map<std::string, std::string> annotations;
};

// runc's shape of `state` and `list`: the above and rootfs, created (RFC 3339 nano), owner.
struct ExtendedState {
  State state;
  std::string rootfs;
  std::string created;
  std::string owner;
};

// config-linux.md "The container process state"; `fds` names each descriptor sent along.
struct ContainerProcessState {
  std::string version;
  std::vector<std::string> fds;
  int64_t pid = 0;
  std::string metadata;
  State state;
};

std::string write(const State& state, int indent = -1);
std::string write(const ExtendedState& state, int indent = -1);
std::string write(const std::vector<ExtendedState>& list, int indent = -1);
std::string write(const ContainerProcessState& state);
State read_state(std::string_view json, std::string_view file);

}  // namespace oci
