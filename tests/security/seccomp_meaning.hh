// Owns: what a profile says about one call, worked out from its text, rule by rule. Does not own:
// any program; slow and plain on purpose.
#pragma once

#include <linux/seccomp.h>

#include <cstdint>

#include "oci-spec/runtime_config.hh"

// The action for this call (SECCOMP_RET_* and data), for a profile whose conditional rules for one
// call all have one action. Names and numbers are libseccomp's.
uint32_t meaning(const oci::Seccomp& profile, const seccomp_data& data);
