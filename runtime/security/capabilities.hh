// Owns: giving a process exactly the five capability sets of its plan (DESIGN.md rule 6,
// CVE-2022-29162). Does not own: names and masks (plan/), nor changing users (launch/).
//
// The order, for init and exec alike; the user switch in the middle is the caller's:
//   limit_bounding_set(plan)            while CAP_SETPCAP is still effective
//   keep_capabilities_over_user_switch()
//   … setgroups, setgid, setuid …
//   regain_effective_capabilities()     only where something privileged follows: the filter is
//   … load the filter …                 loaded before capabilities go (no no_new_privs), chdir
//   set_capabilities(plan)
// With uid 0 → uid 0 nothing is lost in the switch and the two middle calls may be left out.
#pragma once

#include <optional>

#include "runtime/plan/plan.hh"

namespace vessel {

// Drops every capability that the plan's bounding set lacks. One that cannot be dropped
// (no CAP_SETPCAP) is no error if it is absent already. Throws SysError.
void limit_bounding_set(const CapabilityPlan& plan);

// PR_SET_KEEPCAPS: permitted survives a change from uid 0 to others. Cleared again by execve.
void keep_capabilities_over_user_switch();

// Makes everything permitted effective again after a change of user.
void regain_effective_capabilities();

// Sets permitted, effective, inheritable and ambient exactly, and reads them back. A capability
// that the caller itself does not have cannot be given and is left out, as every runtime does; the
// inheritable set is never more than the plan says. Throws SysError, or Error when the kernel's
// answer differs from what was set.
void set_capabilities(const CapabilityPlan& plan);

// The same under a filter that may deny anything: the first exception of a process takes system
// calls, and glibc aborts when they are refused. Gives what failed, and with which errno (0: none).
struct CapabilityFailure {
  const char* what;
  int error;
};
std::optional<CapabilityFailure> try_set_capabilities(const CapabilityPlan& plan) noexcept;

}  // namespace vessel
