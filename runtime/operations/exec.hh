// Owns: `exec`: a further process in a running container.
// Does not own: what it is made of (plan/), how it gets in (launch/).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "oci-spec/runtime_config.hh"

namespace vessel {

struct ExecRequest {
  std::string root, id;
  // Gives the process, from the container's own as a base.
  std::function<oci::Process(const oci::Config&)> process;
  std::string console_socket, pidfd_socket, pid_file;
  std::vector<std::string> cgroups;  // --cgroup
  bool detach = false, ignore_paused = false;
  uint32_t preserve_fds = 0;
};

// The exit code; 0 when detached. Throws Error with runc's texts.
int exec_in_container(const ExecRequest& request);

}  // namespace vessel
