// Owns: writing the table of system call names and numbers that syscall_names.cc compiles in, from
// what libseccomp knows at build time and a list of newer calls. Does not own: looking names up.
//
// libseccomp has no way to list names, so numbers are walked and asked for theirs.
#include <seccomp.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "runtime/security/seccomp_arch.hh"

using vessel::Arch;
using vessel::arch_count;

namespace {

constexpr int none = -1;
using Numbers = std::map<std::string, std::vector<int>>;

// Calls that libseccomp 2.5.4 does not know. Since Linux 5.1 new calls have one number on all
// architectures, above the base that MIPS and x32 add.
struct Newer {
  const char* name;
  int number;
};
constexpr Newer newer_calls[] = {
    {"cachestat", 451},         {"fchmodat2", 452},        {"map_shadow_stack", 453},
    {"futex_wake", 454},        {"futex_wait", 455},       {"futex_requeue", 456},
    {"statmount", 457},         {"listmount", 458},        {"lsm_get_self_attr", 459},
    {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},       {"listxattrat", 465},
    {"removexattrat", 466},     {"open_tree_attr", 467},   {"file_getattr", 468},
    {"file_setattr", 469},      {"listns", 470},
};
// x86_64 only.
constexpr Newer newer_x86_64_calls[] = {{"uretprobe", 335}, {"uprobe", 336}};

struct Range {
  int first, last;
};

void walk(Arch arch, uint32_t token, Range range, Numbers& numbers) {
  for (int number = range.first; number <= range.last; ++number) {
    char* name = seccomp_syscall_resolve_num_arch(token, number);
    if (name == nullptr) continue;
    auto [row, added] = numbers.try_emplace(name, std::vector<int>(arch_count, none));
    std::free(name);
    // Pseudo numbers are negative: the name exists, but not on this architecture.
    if (number >= 0) row->second[static_cast<size_t>(arch)] = number;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  Numbers numbers;
  for (size_t i = 0; i < arch_count; ++i) {
    const auto arch = static_cast<Arch>(i);
    const vessel::ArchInfo& info = vessel::arch_info(arch);
    if (arch == Arch::loongarch64) continue;  // libseccomp 2.5.4 does not know it
    const int base = static_cast<int>(info.number_base);
    walk(arch, info.libseccomp_token, {base, base + 1023}, numbers);
    if (arch == Arch::arm) walk(arch, info.libseccomp_token, {0xf0001, 0xf0010}, numbers);
    walk(arch, info.libseccomp_token, {-10999, -2}, numbers);
  }
  for (const Newer& call : newer_calls) {
    auto [row, added] = numbers.try_emplace(call.name, std::vector<int>(arch_count, none));
    if (!added) continue;  // a later libseccomp knows it, and on which architectures
    for (size_t i = 0; i < arch_count; ++i)
      row->second[i] =
          static_cast<int>(vessel::arch_info(static_cast<Arch>(i)).number_base) + call.number;
  }
  for (const Newer& call : newer_x86_64_calls) {
    auto [row, added] = numbers.try_emplace(call.name, std::vector<int>(arch_count, none));
    row->second[static_cast<size_t>(Arch::x86_64)] = call.number;
  }
  // LoongArch uses the generic table as RISC-V does, without the latter's own calls.
  for (auto& [name, row] : numbers)
    if (!name.starts_with("riscv_"))
      row[static_cast<size_t>(Arch::loongarch64)] = row[static_cast<size_t>(Arch::riscv64)];

  FILE* out = std::fopen(argv[1], "w");
  if (out == nullptr) return 1;
  for (const auto& [name, row] : numbers) {
    if (name.size() > 31) return 3;
    std::fprintf(out, "{\"%s\", {", name.c_str());
    for (int number : row) std::fprintf(out, "%d,", number);
    std::fprintf(out, "}},\n");
  }
  return std::fclose(out) == 0 ? 0 : 1;
}
