#include "runtime/security/capabilities.hh"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <string>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

struct Sets {
  uint64_t effective = 0, permitted = 0, inheritable = 0;
  bool operator==(const Sets&) const = default;
};

bool get(Sets& sets) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data = {};
  if (syscall(SYS_capget, &header, data.data()) != 0) return false;
  auto join = [&](uint32_t low, uint32_t high) { return uint64_t{high} << 32 | low; };
  sets = {.effective = join(data[0].effective, data[1].effective),
          .permitted = join(data[0].permitted, data[1].permitted),
          .inheritable = join(data[0].inheritable, data[1].inheritable)};
  return true;
}

bool set(const Sets& sets) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data = {};
  for (size_t i = 0; i < data.size(); ++i) {
    data[i].effective = static_cast<uint32_t>(sets.effective >> (32 * i));
    data[i].permitted = static_cast<uint32_t>(sets.permitted >> (32 * i));
    data[i].inheritable = static_cast<uint32_t>(sets.inheritable >> (32 * i));
  }
  return syscall(SYS_capset, &header, data.data()) == 0;
}

}  // namespace

void limit_bounding_set(const CapabilityPlan& plan) {
  for (int number = 0; number < 64; ++number) {
    if (plan.bounding >> number & 1) continue;
    if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0) continue;
    int error = errno;
    if (error == EINVAL) return;  // past the kernel's last capability: there is nothing beyond
    // Without CAP_SETPCAP, which is looked at first, the set stays as inherited: right if it lacks
    // this one already, or if there is none of this number.
    if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) != 1) continue;
    throw SysError("drop capability " + std::to_string(number) + " from the bounding set", error);
  }
}

void keep_capabilities_over_user_switch() {
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) throw SysError("prctl PR_SET_KEEPCAPS");
}

void regain_effective_capabilities() {
  Sets sets;
  if (!get(sets)) throw SysError("capget");
  if (sets.effective == sets.permitted) return;
  sets.effective = sets.permitted;
  if (!set(sets)) throw SysError("capset");
}

std::optional<CapabilityFailure> try_set_capabilities(const CapabilityPlan& plan) noexcept {
  // The kernel allows no set to grow past what the caller has. The plan's masks hold what this
  // caller can hand on in principle; what of it is in its permitted set is known only here.
  Sets now;
  if (!get(now)) return CapabilityFailure{"capget", errno};
  Sets wanted;
  wanted.permitted = plan.permitted & now.permitted;
  wanted.effective = plan.effective & wanted.permitted;
  // capset(2): new inheritable within old inheritable + permitted, and within the bounding set for
  // what is added.
  wanted.inheritable = plan.inheritable & (now.inheritable | now.permitted);

  // Before capset: what is in the ambient set would otherwise depend on what it was before.
  // EINVAL cannot be: ambient capabilities are older (4.3) than the oldest kernel served.
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return CapabilityFailure{"clear ambient capabilities", errno};
  if (!(wanted == now)) {
    if (!set(wanted)) return CapabilityFailure{"capset", errno};
    Sets got;
    if (!get(got)) return CapabilityFailure{"capget", errno};
    if (!(got == wanted))
      return CapabilityFailure{"the kernel did not set the capabilities asked for", 0};
  }
  // A capability can be ambient only if it is both permitted and inheritable.
  uint64_t ambient = plan.ambient & wanted.permitted & wanted.inheritable;
  while (ambient != 0) {
    int number = std::countr_zero(ambient);
    ambient &= ambient - 1;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0)
      return CapabilityFailure{"raise an ambient capability", errno};
  }
  return std::nullopt;
}

void set_capabilities(const CapabilityPlan& plan) {
  const auto failure = try_set_capabilities(plan);
  if (!failure) return;
  if (failure->error) throw SysError(failure->what, failure->error);
  throw Error(failure->what);
}

}  // namespace vessel
