// Owns: moving host network devices into the container's network namespace (config-linux.md
// "Network Devices"). Does not own: which devices (plan/).
#pragma once

#include <sys/types.h>

#include "runtime/plan/plan.hh"

namespace vessel {

// Before the createRuntime hooks. Name, global addresses and MTU go along; the device is up
// afterwards. Nothing when the plan has none. Throws Error, SysError naming the device.
void move_net_devices(const Plan& plan, pid_t init);

}  // namespace vessel
