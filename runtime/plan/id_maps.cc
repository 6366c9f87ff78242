#include <algorithm>

#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

// Two half-open ranges, as 64-bit numbers: start + size may be 2^32.
bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

}  // namespace

void check_id_mappings(const std::vector<oci::IdMapping>& mappings, const std::string& path,
                       Problems& problems) {
  // user_namespaces(7): 340 lines since Linux 4.15.
  if (mappings.size() > 340)
    problems.config(
        path, "the kernel takes at most 340 mappings, got " + std::to_string(mappings.size()));
  for (size_t i = 0; i < mappings.size(); ++i) {
    const oci::IdMapping& m = mappings[i];
    if (m.size == 0) problems.config(at(path, i, "size"), "must not be 0");
    // The id 4294967295 means "no id" and cannot be mapped.
    if (uint64_t{m.container_id} + m.size > 0xffffffff)
      problems.config(at(path, i), "containerID + size goes beyond the largest id, 4294967294");
    if (uint64_t{m.host_id} + m.size > 0xffffffff)
      problems.config(at(path, i), "hostID + size goes beyond the largest id, 4294967294");
    for (size_t k = 0; k < i; ++k) {
      if (overlap(m.container_id, m.size, mappings[k].container_id, mappings[k].size))
        problems.config(at(path, i),
                        "containerID range overlaps that of entry " + std::to_string(k));
      if (overlap(m.host_id, m.size, mappings[k].host_id, mappings[k].size))
        problems.config(at(path, i), "hostID range overlaps that of entry " + std::to_string(k));
    }
  }
}

std::optional<uint32_t> map_to_host(const std::vector<oci::IdMapping>& mappings, uint32_t id) {
  for (const oci::IdMapping& m : mappings)
    if (id >= m.container_id && id - m.container_id < m.size)
      return m.host_id + (id - m.container_id);
  return std::nullopt;
}

}  // namespace vessel
