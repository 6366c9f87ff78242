// Owns: what a container gets that neither image nor command line decides: Docker's default mounts,
// capabilities, masked and read-only paths, as a config.json to start from.
// Does not own: the seccomp profile (seccomp_profile.hh) or anything of one image or step.
#pragma once

#include <string>
#include <vector>

#include "oci-spec/runtime_config.hh"

namespace kiln {

// The fourteen capabilities of Docker's default set.
const std::vector<std::string>& default_capabilities();
// Every capability of capabilities(7), for --security=insecure and --privileged.
const std::vector<std::string>& all_capabilities();

// proc, dev, devpts, shm, mqueue, sysfs (read-only) and cgroup (read-only); masked and read-only
// paths; new pid, mount, ipc, uts and cgroup namespaces (network is the caller's to add); default
// capabilities in the bounding, permitted and effective set; no process.args, no root.
oci::Config default_container();

}  // namespace kiln
