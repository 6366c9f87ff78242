// Owns: what a container's configuration cannot have inside a user namespace, and what takes its
// place. Does not own: entering one (sys/user_namespace.hh), or the rest of the configuration.
#pragma once

#include <cstdint>

#include "oci-spec/runtime_config.hh"

namespace kiln {

// crun and vessel (and our own bare_process.cc) leave the process the groups that it has.
inline constexpr const char* keep_groups_annotation = "run.oci.keep_original_groups";

// For a container that shares the user namespace of this process, with ids 0 to `ids` - 1 mapped.
// UINT32_MAX (no user namespace) changes nothing.
void fit_to_user_namespace(oci::Config& config, uint32_t ids);

}  // namespace kiln
