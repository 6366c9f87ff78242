// Owns: system call name → number on each architecture. Does not own: where the numbers come from
// (syscall_table_gen.cc).
#pragma once

#include <cstdint>
#include <string_view>

#include "runtime/security/seccomp_arch.hh"

namespace vessel {

struct SyscallRow {
  char name[32];
  int32_t number[arch_count];  // by Arch; -1: this architecture has no such call

  int32_t on(Arch arch) const { return number[static_cast<size_t>(arch)]; }
};

// nullptr for a name that no architecture knows.
const SyscallRow* find_syscall(std::string_view name);

// The number that socketcall(2) or ipc(2) takes as first argument for a call that find_syscall
// found; 0 for all others.
struct MultiplexedCall {
  uint8_t socketcall = 0;
  uint8_t ipc = 0;
};
MultiplexedCall multiplexed_call(const SyscallRow& row);

}  // namespace vessel
