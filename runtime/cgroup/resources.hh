// Owns: linux.resources (all but devices) as a list of writes to cgroup files, for v1 and v2.
// Does not own: performing the writes (apply.cc), device rules (device_rules.hh).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci-spec/runtime_config.hh"

namespace vessel {

enum class WriteRule : uint8_t {
  required,
  // The file may be missing: rsvd on older kernels, swap limits that ask for nothing.
  if_present,
  // EINVAL now may be no EINVAL after the writes that follow (period, burst and quota check each
  // other): tried again at the end.
  retry_last
};

struct CgroupWrite {
  std::string controller;  // "memory"; "" for a core file of v2
  bool v2 = false;
  std::string file;
  std::string value;
  std::string json_path;  // "linux.resources.memory.limit"
  WriteRule rule = WriteRule::required;
  bool operator==(const CgroupWrite&) const = default;
};

enum class ControllerAt : uint8_t { nowhere, v1, v2 };

// What the translation may ask about the cgroup that the writes are for.
struct CgroupView {
  // Where the host has this controller (v1's name; "blkio" is asked for as "io" on v2).
  std::function<ControllerAt(std::string_view controller)> where;
  // The content of a file; nullopt when there is none.
  std::function<std::optional<std::string>(std::string_view controller, std::string_view file)>
      read;
  // Freshly made: nothing is limited yet, so the current values need not be read.
  bool fresh = true;
};

struct CgroupWrites {
  std::vector<CgroupWrite> writes;
  std::vector<std::string> warnings;
};

// In the order in which they must be done. Zeros mean "not set" (runc, Docker). Throws Error that
// starts with the JSON path for values no kernel takes, and for controllers that are nowhere.
CgroupWrites resource_writes(const oci::Resources& resources, const CgroupView& view);

// Conversions from v1's scales, as runc and crun do them.
// cpu.shares 2…262144 (default 1024) -> cpu.weight 1…10000 (default 100): the quadratic function of
// log2(shares) through those three points that runc (since 1.3.2) and crun (since 1.23) share.
uint64_t cpu_weight_of_shares(uint64_t shares);
// blkio.weight 10…1000 -> io.weight 1…10000, linear.
uint64_t io_weight_of_blkio(uint16_t weight);

// memory.swap.max for memory+swap `swap` and memory `limit` (-1 unlimited, 0 not set); nullopt:
// leave it alone. Throws Error (without a path in front).
std::optional<std::string> swap_max(int64_t swap, int64_t limit);

}  // namespace vessel
