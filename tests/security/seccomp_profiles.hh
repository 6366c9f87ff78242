// Owns: the profiles that filters are compared over: random ones, and those of the data directory.
// Does not own: the comparison.
#pragma once

#include <cstdint>
#include <string>

#include "oci-spec/runtime_config.hh"

// A profile that depends on the arguments alone. Only names that libseccomp knows; `comparable`
// leaves out what libseccomp refuses or decides wrongly.
oci::Seccomp generate_profile(uint64_t seed, bool comparable);

// Reads a profile: lines of
//   default ACTION [ERRNO]
//   arch SCMP_ARCH_…
//   rule ACTION [ERRNO] [if INDEX OP VALUE [VALUE2]]… : NAME…
// Names that libseccomp does not know are left out, so that both sides see the same. A file that
// ends in .json is one of podman's, resolved for this architecture and podman's default
// capabilities.
oci::Seccomp read_profile_file(const std::string& path);

// For messages: the same lines.
std::string describe(const oci::Seccomp& profile);
