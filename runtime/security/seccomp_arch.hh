// Owns: the architectures that a seccomp profile can name, and what of each matters to a filter.
// Does not own: system call numbers (syscall_names.hh).
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>

namespace vessel {

enum class Arch : uint8_t {
  x86_64,
  x86,
  x32,
  arm,
  aarch64,
  mips,
  mips64,
  mips64n32,
  mipsel,
  mipsel64,
  mipsel64n32,
  parisc,
  parisc64,
  ppc,
  ppc64,
  ppc64le,
  s390,
  s390x,
  riscv64,
  loongarch64
};

struct ArchInfo {
  Arch arch;
  char name[24];              // config-linux.md, "SCMP_ARCH_…"; no pointer to be relocated
  uint32_t audit;             // seccomp_data.arch (AUDIT_ARCH_*)
  uint32_t libseccomp_token;  // differs from it for x32, which has no AUDIT_ARCH of its own
  uint32_t number_base;       // added to every number: MIPS ABIs, bit 30 of x32
  bool is_64bit;              // arguments are compared in full, else only their low word
  bool little_endian;
  // The numbers of socketcall(2) and ipc(2) where socket and System V IPC calls can also be made
  // through them, else 0.
  uint16_t socketcall, ipc;
};

inline constexpr uint32_t x32_bit = 0x4000'0000;

// e_machine | 64 bit | little endian, as <linux/audit.h> puts them together.
namespace audit {
inline constexpr uint32_t bits64 = 0x8000'0000, le = 0x4000'0000, n32 = 0x2000'0000;
}

inline constexpr ArchInfo architectures[] = {
    {Arch::x86_64, "SCMP_ARCH_X86_64", 62 | audit::bits64 | audit::le,
     62 | audit::bits64 | audit::le, 0, true, true, 0, 0},
    {Arch::x86, "SCMP_ARCH_X86", 3 | audit::le, 3 | audit::le, 0, false, true, 102, 117},
    {Arch::x32, "SCMP_ARCH_X32", 62 | audit::bits64 | audit::le, 62 | audit::le, x32_bit, false,
     true, 0, 0},
    {Arch::arm, "SCMP_ARCH_ARM", 40 | audit::le, 40 | audit::le, 0, false, true, 0, 0},
    {Arch::aarch64, "SCMP_ARCH_AARCH64", 183 | audit::bits64 | audit::le,
     183 | audit::bits64 | audit::le, 0, true, true, 0, 0},
    {Arch::mips, "SCMP_ARCH_MIPS", 8, 8, 4000, false, false, 4102, 4117},
    {Arch::mips64, "SCMP_ARCH_MIPS64", 8 | audit::bits64, 8 | audit::bits64, 5000, true, false, 0,
     0},
    {Arch::mips64n32, "SCMP_ARCH_MIPS64N32", 8 | audit::bits64 | audit::n32,
     8 | audit::bits64 | audit::n32, 6000, false, false, 0, 0},
    {Arch::mipsel, "SCMP_ARCH_MIPSEL", 8 | audit::le, 8 | audit::le, 4000, false, true, 4102, 4117},
    {Arch::mipsel64, "SCMP_ARCH_MIPSEL64", 8 | audit::bits64 | audit::le,
     8 | audit::bits64 | audit::le, 5000, true, true, 0, 0},
    {Arch::mipsel64n32, "SCMP_ARCH_MIPSEL64N32", 8 | audit::bits64 | audit::le | audit::n32,
     8 | audit::bits64 | audit::le | audit::n32, 6000, false, true, 0, 0},
    {Arch::parisc, "SCMP_ARCH_PARISC", 15, 15, 0, false, false, 0, 0},
    {Arch::parisc64, "SCMP_ARCH_PARISC64", 15 | audit::bits64, 15 | audit::bits64, 0, true, false,
     0, 0},
    {Arch::ppc, "SCMP_ARCH_PPC", 20, 20, 0, false, false, 102, 117},
    {Arch::ppc64, "SCMP_ARCH_PPC64", 21 | audit::bits64, 21 | audit::bits64, 0, true, false, 102,
     117},
    {Arch::ppc64le, "SCMP_ARCH_PPC64LE", 21 | audit::bits64 | audit::le,
     21 | audit::bits64 | audit::le, 0, true, true, 102, 117},
    {Arch::s390, "SCMP_ARCH_S390", 22, 22, 0, false, false, 102, 117},
    {Arch::s390x, "SCMP_ARCH_S390X", 22 | audit::bits64, 22 | audit::bits64, 0, true, false, 102,
     117},
    {Arch::riscv64, "SCMP_ARCH_RISCV64", 243 | audit::bits64 | audit::le,
     243 | audit::bits64 | audit::le, 0, true, true, 0, 0},
    {Arch::loongarch64, "SCMP_ARCH_LOONGARCH64", 258 | audit::bits64 | audit::le,
     258 | audit::bits64 | audit::le, 0, true, true, 0, 0},
};
inline constexpr size_t arch_count = std::size(architectures);

constexpr const ArchInfo& arch_info(Arch arch) {
  return architectures[static_cast<size_t>(arch)];
}

#if defined(__x86_64__)
inline constexpr Arch native_arch = Arch::x86_64;
#elif defined(__aarch64__)
inline constexpr Arch native_arch = Arch::aarch64;
#elif defined(__i386__)
inline constexpr Arch native_arch = Arch::x86;
#elif defined(__arm__)
inline constexpr Arch native_arch = Arch::arm;
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
inline constexpr Arch native_arch = Arch::ppc64le;
#elif defined(__s390x__)
inline constexpr Arch native_arch = Arch::s390x;
#elif defined(__riscv) && __riscv_xlen == 64
inline constexpr Arch native_arch = Arch::riscv64;
#elif defined(__loongarch64)
inline constexpr Arch native_arch = Arch::loongarch64;
#else
#error "this architecture has no row in seccomp_arch.hh"
#endif

// By the spec's name.
constexpr std::optional<Arch> arch_by_name(std::string_view name) {
  for (const ArchInfo& info : architectures)
    if (info.name == name) return info.arch;
  return std::nullopt;
}

}  // namespace vessel
