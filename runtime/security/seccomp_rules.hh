// Owns: a profile's rules per architecture as numbers, with libseccomp's and runc's rules for which
// of them count. Does not own: instructions (seccomp_program.hh) or loading.
#pragma once

#include <cstdint>
#include <vector>

#include "oci-spec/format_error.hh"
#include "oci-spec/runtime_config.hh"
#include "runtime/security/seccomp_arch.hh"

namespace vessel::seccomp {

enum class Compare : uint8_t { ne, lt, le, eq, ge, gt, masked_eq };

// One argument compared with a value; for masked_eq: (argument & mask) == value.
struct Condition {
  uint8_t arg = 0;
  Compare op = Compare::eq;
  uint64_t mask = ~uint64_t{0};
  uint64_t value = 0;
  bool operator==(const Condition&) const = default;
};

// All conditions must hold (none: always). They are sorted by argument.
struct Rule {
  uint32_t action = 0;  // SECCOMP_RET_* | data
  std::vector<Condition> conditions;
};

// A system call number with its rules, as indices into Profile::rules; `multiplexed` is the first
// argument of socketcall or ipc that stands for the call, replacing a condition on argument 0.
struct Entry {
  uint32_t number;
  uint16_t rule;
  uint8_t multiplexed = 0;
};

struct ArchProfile {
  const ArchInfo* arch;
  std::vector<Entry> entries;  // sorted by number; of one number in the profile's order
  // The highest number that the profile names, whatever its action; numbers above get ENOSYS. 0:
  // none is named.
  uint32_t last = 0;
};

struct Profile {
  uint32_t default_action = 0;
  bool enosys_beyond_last = false;
  bool notifies = false;
  std::vector<Rule> rules;
  std::vector<ArchProfile> archs;  // the native one first
};

// Reads the profile; what cannot be understood is appended to `problems`, with paths below
// "linux.seccomp", and left out.
Profile read_profile(const oci::Seccomp& seccomp, std::vector<oci::Problem>& problems);

// Only looks for the problems, without a look at any system call's name: cheap.
void check_profile(const oci::Seccomp& seccomp, std::vector<oci::Problem>& problems);

// The rules that hold for one number of one architecture, in the order in which they are to be
// tried; the first that matches decides, the default action if none does. An unconditional one is
// alone.
std::vector<Rule> effective_rules(const Profile& profile, const ArchInfo& arch, const Entry* first,
                                  const Entry* last);

}  // namespace vessel::seccomp
