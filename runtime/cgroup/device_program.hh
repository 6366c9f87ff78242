// Owns: the eBPF program that decides on device accesses in a v2 cgroup: making it, loading it,
// attaching it.
// Does not own: what the rules mean (device_rules.hh).
#pragma once

#include <linux/bpf.h>

#include <vector>

#include "runtime/cgroup/device_rules.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// A BPF_PROG_TYPE_CGROUP_DEVICE program: 1 allows, 0 denies; equal to devices_allow for every
// access. Pure.
std::vector<bpf_insn> device_program(const NormalRules& rules);

// bpf(2) BPF_PROG_LOAD. Throws SysError.
Fd load_device_program(const std::vector<bpf_insn>& program);

// Attaches to the v2 cgroup `dir` (BPF_F_ALLOW_MULTI, so that the parents' programs still count).
// Programs that are there already are replaced without a moment in between in which none holds:
// by BPF_F_REPLACE, or attached before the old ones are detached. `fresh`: there are none, which
// saves the query. Throws SysError.
void attach_device_program(int dir, int program, bool fresh);

}  // namespace vessel
