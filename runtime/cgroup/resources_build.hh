// Owns: what the translators of the single resources share while they list their writes.
// Does not own: the translation (resources.cc, memory.cc, cpu.cc, block_io.cc); not for others.
#pragma once

#include "runtime/cgroup/resources.hh"

namespace vessel {

struct WriteBuilder {
  const CgroupView& view;
  std::vector<CgroupWrite> writes;
  std::vector<std::string> warnings;

  // Where the controller is; throws Error naming `json_path` when it is nowhere.
  ControllerAt at(std::string_view controller, std::string_view json_path) const;
  void put(std::string_view controller, std::string_view file, std::string value,
           std::string_view json_path, WriteRule rule = WriteRule::required);
  // The present value, trimmed.
  std::optional<std::string> current(std::string_view controller, std::string_view file) const;
  // A warning: nothing here can do this, and the spec lets the runtime go on.
  void unsupported(std::string_view json_path, std::string_view what);
};

void memory_writes(const oci::MemoryLimits& memory, WriteBuilder& to);
void cpu_writes(const oci::CpuLimits& cpu, WriteBuilder& to);
void block_io_writes(const oci::BlockIo& io, WriteBuilder& to);

}  // namespace vessel
