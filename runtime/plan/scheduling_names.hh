// Owns: the spec's names for scheduling, I/O priority and memory policy with the kernel's numbers.
// Does not own: which may be combined (scheduling.cc).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace vessel {

struct NamedValue {
  std::string_view name;
  uint32_t value;
};

// linux/sched.h
inline constexpr std::array<NamedValue, 7> scheduler_policies = {{{"SCHED_OTHER", 0},
                                                                  {"SCHED_FIFO", 1},
                                                                  {"SCHED_RR", 2},
                                                                  {"SCHED_BATCH", 3},
                                                                  {"SCHED_ISO", 4},
                                                                  {"SCHED_IDLE", 5},
                                                                  {"SCHED_DEADLINE", 6}}};

inline constexpr std::array<NamedValue, 7> scheduler_flags = {
    {{"SCHED_FLAG_RESET_ON_FORK", 0x01},
     {"SCHED_FLAG_RECLAIM", 0x02},
     {"SCHED_FLAG_DL_OVERRUN", 0x04},
     {"SCHED_FLAG_KEEP_POLICY", 0x08},
     {"SCHED_FLAG_KEEP_PARAMS", 0x10},
     {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
     {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}}};

// linux/ioprio.h
inline constexpr std::array<NamedValue, 3> io_priority_classes = {
    {{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}}};

// linux/mempolicy.h; sorted by name, `features` prints them
inline constexpr std::array<NamedValue, 7> memory_policy_modes = {
    {{"MPOL_BIND", 2},
     {"MPOL_DEFAULT", 0},
     {"MPOL_INTERLEAVE", 3},
     {"MPOL_LOCAL", 4},
     {"MPOL_PREFERRED", 1},
     {"MPOL_PREFERRED_MANY", 5},
     {"MPOL_WEIGHTED_INTERLEAVE", 6}}};

inline constexpr std::array<NamedValue, 3> memory_policy_flags = {
    {{"MPOL_F_NUMA_BALANCING", 1u << 13},
     {"MPOL_F_RELATIVE_NODES", 1u << 14},
     {"MPOL_F_STATIC_NODES", 1u << 15}}};

}  // namespace vessel
