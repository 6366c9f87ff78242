// Owns: what this kernel and this caller can do, as plain data that plan/ decides on.
// Does not own: the probing (facts.cc) beyond being its result, nor the decisions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "oci-spec/runtime_config.hh"

namespace vessel {

enum class CgroupLayout : uint8_t { none, v1, hybrid, v2 };

// Facts are plain values so that plan/'s tests can make any host they like. Probing is lazy where a
// probe costs: what no plan needs is not probed on the way to a container.
struct HostFacts {
  uint32_t euid = 0, egid = 0;
  bool in_user_namespace = false;  // other than the first one
  uint32_t kernel_major = 0, kernel_minor = 0;
  CgroupLayout cgroup_layout = CgroupLayout::none;
  // v1 controllers and/or v2's, as the kernel names them; only after probe_cgroup_controllers().
  std::vector<std::string> cgroup_controllers;
  bool selinux = false, apparmor = false, resctrl = false, time_namespace = true;
  uint64_t capability_bounding = ~uint64_t{0};  // what this caller can hand on (and permitted)
  uint32_t last_capability = 40;                // /proc/sys/kernel/cap_last_cap

  bool kernel_at_least(uint32_t major, uint32_t minor) const {
    return kernel_major != major ? kernel_major > major : kernel_minor >= minor;
  }
};

// Whether this process is in another than the first user namespace.
bool in_user_namespace();

// Fills the facts from the running host in a dozen cheap system calls, without reading mountinfo.
// With a config, what it does not ask for (labels, resctrl, time namespaces) is not looked for.
// Throws SysError when uname(2) or capget(2) fails.
HostFacts probe_host(const oci::Config* config = nullptr);

// Where a resctrl file system is mounted, empty when nowhere. `anywhere`: mountinfo is read when the
// kernel has one and it is not at /sys/fs/resctrl.
std::string find_resctrl(bool anywhere);

// For `check` and `features`, which name what is missing; a plan does not need it.
void probe_cgroup_controllers(HostFacts& facts);

}  // namespace vessel
