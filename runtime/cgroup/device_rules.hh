// Owns: what linux.resources.devices means: which accesses a list of rules allows, and the same as
// v1's devices.allow and devices.deny writes.
// Does not own: the eBPF form for v2 (device_program.hh).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "oci-spec/runtime_config.hh"
#include "runtime/cgroup/resources.hh"

namespace vessel {

// Access bits as the kernel's BPF_DEVCG_ACC_*.
inline constexpr uint32_t device_mknod = 1, device_read = 2, device_write = 4, device_all = 7;

struct DeviceMatch {
  bool block = false;                    // else character
  std::optional<uint32_t> major, minor;  // nullopt: any
  bool operator==(const DeviceMatch&) const = default;
};

struct NormalRule {
  bool allow = false;
  DeviceMatch match;
  uint32_t access = device_all;
  bool operator==(const NormalRule&) const = default;
};

// Rules with the types spelled out ("a" becomes one for c and one for b), in order. Those before
// the last rule that covers every device and access are left out, as nothing of them remains.
// Throws Error naming "linux.resources.devices[i]" for what is no rule.
struct NormalRules {
  bool default_allow = false;  // for what no rule names
  std::vector<NormalRule> rules;
};
NormalRules normal_rules(const std::vector<oci::DeviceRule>& rules);

// The meaning, on which both forms agree: for each access bit the last rule that matches decides.
bool devices_allow(const NormalRules& rules, bool block, uint32_t major, uint32_t minor,
                   uint32_t access);

// v1: a default and exceptions to it, all in one direction. Throws Error when the rules take
// something out of a wider exception, which v1 would silently not do; but the right to make one node
// out of the right to make any stays, for a node alone gives no use of a device.
std::vector<CgroupWrite> device_writes_v1(const NormalRules& rules);

}  // namespace vessel
