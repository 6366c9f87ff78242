// Owns: a profile's rules → instructions, as one balanced tree of intervals of numbers for each
// architecture. Does not own: reading the profile (seccomp_rules.hh), loading (seccomp.hh).
//
// Only LD of number and architecture, JA, JEQ, JGE, JSET and RET are used on paths that decide
// without looking at arguments: the kernel runs such paths when the filter is loaded, and from then
// on lets always-allowed calls pass without running the program at all (its "action cache", Linux
// 5.11).
#pragma once

#include <linux/filter.h>

#include <vector>

#include "runtime/security/seccomp_rules.hh"

namespace vessel::seccomp {

// Throws Error when the program would be longer than the kernel takes (4096 instructions).
std::vector<sock_filter> generate(const Profile& profile);

}  // namespace vessel::seccomp
