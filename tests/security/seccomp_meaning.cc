#include "tests/security/seccomp_meaning.hh"

#include <errno.h>
#include <seccomp.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/security/seccomp_arch.hh"

namespace {

using vessel::ArchInfo;

uint32_t action_of(const std::string& name, std::optional<uint32_t> errno_ret) {
  static const std::map<std::string, uint32_t> plain = {{"SCMP_ACT_ALLOW", 0x7fff0000},
                                                        {"SCMP_ACT_LOG", 0x7ffc0000},
                                                        {"SCMP_ACT_TRAP", 0x00030000},
                                                        {"SCMP_ACT_NOTIFY", 0x7fc00000},
                                                        {"SCMP_ACT_KILL", 0},
                                                        {"SCMP_ACT_KILL_THREAD", 0},
                                                        {"SCMP_ACT_ERRNO", 0x00050000},
                                                        {"SCMP_ACT_TRACE", 0x7ff00000},
                                                        {"SCMP_ACT_KILL_PROCESS", 0x80000000}};
  const bool with_errno = name == "SCMP_ACT_ERRNO" || name == "SCMP_ACT_TRACE";
  return plain.at(name) | (with_errno ? errno_ret.value_or(EPERM) : 0);
}

bool holds(const oci::SeccompArg& arg, const seccomp_data& data, const ArchInfo& arch) {
  const uint64_t word = arch.is_64bit ? ~uint64_t{0} : 0xffffffff;
  const uint64_t actual = data.args[arg.index] & word;
  const uint64_t value = arg.value & word;
  if (arg.op == "SCMP_CMP_EQ") return actual == value;
  if (arg.op == "SCMP_CMP_NE") return actual != value;
  if (arg.op == "SCMP_CMP_LT") return actual < value;
  if (arg.op == "SCMP_CMP_LE") return actual <= value;
  if (arg.op == "SCMP_CMP_GT") return actual > value;
  if (arg.op == "SCMP_CMP_GE") return actual >= value;
  return (actual & value) == (arg.value_two & value);
}

struct Numbers {
  int direct = -1;       // of the call itself
  int multiplexer = -1;  // socketcall's or ipc's
  uint64_t selector = 0;
};

// libseccomp gives a multiplexed call a number of −100 − selector, or −200 − selector.
Numbers numbers_of(const std::string& name, const ArchInfo& arch) {
  static std::map<std::pair<std::string, uint32_t>, Numbers> known;
  auto [entry, added] = known.try_emplace({name, arch.libseccomp_token});
  Numbers& numbers = entry->second;
  if (!added) return numbers;
  const int number = seccomp_syscall_resolve_name_arch(arch.libseccomp_token, name.c_str());
  if (number >= 0) numbers.direct = number;
  const bool socket = number <= -101 && number >= -120, ipc = number <= -201 && number >= -224;
  if ((socket && arch.socketcall != 0) || (ipc && arch.ipc != 0)) {
    numbers.multiplexer = socket ? arch.socketcall : arch.ipc;
    numbers.selector = static_cast<uint64_t>(-number % (socket ? 100 : 200));
    for (int n = static_cast<int>(arch.number_base); n < static_cast<int>(arch.number_base) + 1024;
         ++n) {
      char* found = seccomp_syscall_resolve_num_arch(arch.libseccomp_token, n);
      if (found != nullptr && name == found) numbers.direct = n;
      free(found);
    }
  }
  return numbers;
}

const ArchInfo* listed(const oci::Seccomp& profile, vessel::Arch arch) {
  const ArchInfo& info = vessel::arch_info(arch);
  const auto& names = profile.architectures;
  const bool is = arch == vessel::native_arch ||
                  std::find(names.begin(), names.end(), info.name) != names.end();
  return is ? &info : nullptr;
}

struct Verdict {
  // A multiplexed call's rule that asks nothing more than which call it is decides before those
  // that do, as an unconditional rule does on the call's own number.
  std::optional<uint32_t> unconditional, of_call, conditional;
};

void apply(const oci::SeccompSyscall& call, uint32_t action, const seccomp_data& data,
           const ArchInfo& arch, bool multiplexed, uint64_t selector, Verdict& verdict) {
  const uint64_t word = arch.is_64bit ? ~uint64_t{0} : 0xffffffff;
  if (multiplexed && (data.args[0] & word) != selector) return;
  std::vector<std::vector<oci::SeccompArg>> rules;
  std::vector<int> seen(6);
  bool repeated = false;
  for (const auto& arg : call.args)
    if (seen[arg.index]++ != 0) repeated = true;
  if (repeated)
    for (const auto& arg : call.args) rules.push_back({arg});
  else
    rules.push_back(call.args);
  for (const auto& rule : rules) {
    bool matches = true, conditional = false;
    for (const auto& arg : rule) {
      if (multiplexed && arg.index == 0) continue;
      if (arg.op == "SCMP_CMP_MASKED_EQ" && (arg.value & word) == 0) continue;
      conditional = true;
      matches = matches && holds(arg, data, arch);
    }
    auto& always = multiplexed ? verdict.of_call : verdict.unconditional;
    if (!conditional && !always) always = action;
    if (conditional && matches && !verdict.conditional) verdict.conditional = action;
  }
}

}  // namespace

uint32_t meaning(const oci::Seccomp& profile, const seccomp_data& data) {
  const uint32_t otherwise = action_of(profile.default_action, profile.default_errno_ret);
  const auto number = static_cast<uint32_t>(data.nr);
  const bool x32_call = (number & vessel::x32_bit) != 0;
  const ArchInfo* arch = nullptr;
  const ArchInfo* stub_arch = nullptr;  // the check for new calls looks at the bit alone
  bool absent = true;
  for (const ArchInfo& info : vessel::architectures) {
    if (info.audit != data.arch || listed(profile, info.arch) == nullptr) continue;
    absent = false;
    const bool x86_family = data.arch == vessel::arch_info(vessel::Arch::x86_64).audit;
    if (!x86_family || (info.arch == vessel::Arch::x32) == x32_call) arch = stub_arch = &info;
  }
  if (absent) return 0;  // unlisted architecture: the thread is killed

  const uint32_t kind = otherwise & SECCOMP_RET_ACTION_FULL;
  const bool permissive = kind == 0x7fff0000 || kind == 0x7ffc0000 || kind == 0x7ff00000;
  if (!permissive && stub_arch != nullptr) {
    uint32_t last = 0;
    for (const auto& call : profile.syscalls)
      for (const auto& name : call.names) {
        const int n = seccomp_syscall_resolve_name_arch(stub_arch->libseccomp_token, name.c_str());
        if (n > 0) last = std::max(last, static_cast<uint32_t>(n));
      }
    if (last != 0 && number > last) return 0x00050000 | ENOSYS;
  }
  const bool x86_family = data.arch == vessel::arch_info(vessel::Arch::x86_64).audit;
  if (x86_family && number >= vessel::x32_bit && listed(profile, vessel::Arch::x32) == nullptr)
    return number == 0xffffffff ? otherwise : 0;
  if (arch == nullptr) return otherwise;

  Verdict verdict;
  for (const auto& call : profile.syscalls) {
    const uint32_t action = action_of(call.action, call.errno_ret);
    if (action == otherwise) continue;
    for (const auto& name : call.names) {
      const Numbers numbers = numbers_of(name, *arch);
      if (numbers.direct >= 0 && static_cast<uint32_t>(numbers.direct) == number)
        apply(call, action, data, *arch, false, 0, verdict);
      if (numbers.multiplexer >= 0 && static_cast<uint32_t>(numbers.multiplexer) == number)
        apply(call, action, data, *arch, true, numbers.selector, verdict);
    }
  }
  if (verdict.unconditional) return *verdict.unconditional;
  if (verdict.of_call) return *verdict.of_call;
  return verdict.conditional.value_or(otherwise);
}
