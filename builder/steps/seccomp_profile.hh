// Owns: the system call filter that Docker gives a container by default, as a table of its own.
// Does not own: how a runtime compiles it.
#pragma once

#include <string>
#include <vector>

#include "oci-spec/runtime_config.hh"

namespace kiln {

// For a process that is given `capabilities` ("CAP_CHOWN" …) on this machine's architecture.
oci::Seccomp default_seccomp(const std::vector<std::string>& capabilities);

}  // namespace kiln
