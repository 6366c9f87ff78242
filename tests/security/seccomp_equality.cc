// Owns: the proof that vessel's seccomp programs decide as the profile says and as runc's do, by
// running both over the same calls. Does not own: either compiler.
//
// seccomp_equality generated COUNT [SEED]   that many random profiles against libseccomp. It
// decides
//     a few of them wrongly (it shares blocks between rules and architectures that only look
//     alike), so where the two differ the profile's meaning decides who is right: ours must be,
//     always, and libseccomp must be in 98 of 100 profiles.
// seccomp_equality meaning COUNT [SEED]     profiles with overlapping rules, against the meaning
// seccomp_equality profile FILE…            profiles in the form that seccomp_profiles.hh describes
// seccomp_equality mutate FILE              every instruction changed once: each must be noticed
// seccomp_equality time FILE                how long compiling takes, in microseconds
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/security/seccomp.hh"
#include "runtime/security/seccomp_arch.hh"
#include "runtime/security/syscall_names.hh"
#include "runtime/sys/error.hh"
#include "tests/security/bpf_machine.hh"
#include "tests/security/seccomp_meaning.hh"
#include "tests/security/seccomp_profiles.hh"
#include "tests/security/seccomp_reference.hh"

namespace {

using vessel::Arch;

std::string show(const seccomp_data& d) {
  char text[200];
  std::snprintf(text, sizeof text, "arch %#x number %#x args %#llx %#llx %#llx %#llx %#llx %#llx",
                d.arch, static_cast<unsigned>(d.nr), d.args[0], d.args[1], d.args[2], d.args[3],
                d.args[4], d.args[5]);
  return text;
}

// Calls worth trying with particular arguments: number on an architecture → values per argument.
using Values = std::vector<std::set<uint64_t>>;

void add_around(std::set<uint64_t>& values, uint64_t value) {
  const auto low = static_cast<uint32_t>(value);
  for (uint32_t l : {low - 1, low, low + 1})
    for (uint64_t h : {value >> 32, uint64_t{0}, uint64_t{1}, uint64_t{0xffffffff}})
      values.insert(h << 32 | l);
}

std::map<uint32_t, Values> argument_values(const oci::Seccomp& profile,
                                           const vessel::ArchInfo& arch) {
  std::map<uint32_t, Values> by_number;
  const auto values_of = [&](uint32_t number) -> Values& {
    return by_number.try_emplace(number, Values(6)).first->second;
  };
  for (const auto& call : profile.syscalls) {
    for (const std::string& name : call.names) {
      const vessel::SyscallRow* row = vessel::find_syscall(name);
      if (row == nullptr) continue;
      std::vector<uint32_t> numbers;
      if (row->on(arch.arch) >= 0) numbers.push_back(static_cast<uint32_t>(row->on(arch.arch)));
      const auto multiplexed = vessel::multiplexed_call(*row);
      if (multiplexed.socketcall != 0 && arch.socketcall != 0) numbers.push_back(arch.socketcall);
      if (multiplexed.ipc != 0 && arch.ipc != 0) numbers.push_back(arch.ipc);
      for (uint32_t number : numbers)
        for (const oci::SeccompArg& arg : call.args) {
          std::set<uint64_t>& values = values_of(number)[arg.index];
          add_around(values, arg.value);
          if (arg.op == "SCMP_CMP_MASKED_EQ") {
            add_around(values, arg.value_two);
            add_around(values, arg.value & arg.value_two);
            values.insert(~arg.value);
            values.insert(arg.value_two | ~arg.value);
          }
        }
    }
  }
  for (uint32_t number : {arch.socketcall, arch.ipc})
    if (number != 0)
      for (uint64_t first = 0; first <= 25; ++first) values_of(number)[0].insert(first);
  return by_number;
}

using Visit = std::function<bool(const seccomp_data&)>;  // false: enough

// Every combination of the values, or a sample when there are many.
bool visit_arguments(seccomp_data data, const Values& values, std::mt19937_64& random,
                     const Visit& visit) {
  std::vector<std::vector<uint64_t>> choices;
  double combinations = 1;
  for (const auto& set : values) {
    choices.emplace_back(set.begin(), set.end());
    if (choices.back().empty()) choices.back().push_back(0);
    combinations *= static_cast<double>(choices.back().size());
  }
  if (combinations <= 1500) {
    std::vector<size_t> at(6, 0);
    for (;;) {
      for (size_t i = 0; i < 6; ++i) data.args[i] = choices[i][at[i]];
      if (!visit(data)) return false;
      size_t i = 0;
      while (i < 6 && ++at[i] == choices[i].size()) at[i++] = 0;
      if (i == 6) return true;
    }
  }
  for (int n = 0; n < 1500; ++n) {
    for (size_t i = 0; i < 6; ++i) data.args[i] = choices[i][random() % choices[i].size()];
    if (!visit(data)) return false;
  }
  return true;
}

// For every number, the values that the profile asks about for any call: a number that has slipped
// into a neighbour's rules shows only with these.
std::vector<std::pair<uint32_t, uint64_t>> asked_values(const oci::Seccomp& profile) {
  std::set<std::pair<uint32_t, uint64_t>> values;
  for (const auto& call : profile.syscalls)
    for (const oci::SeccompArg& arg : call.args) values.insert({arg.index, arg.value});
  return {values.begin(), values.end()};
}

bool visit_probes(const oci::Seccomp& profile, std::mt19937_64& random, const Visit& visit) {
  const auto asked = asked_values(profile);
  std::vector<uint32_t> numbers;
  for (uint32_t n = 0; n < 1024; ++n) {
    numbers.push_back(n);
    numbers.push_back(vessel::x32_bit + n);
  }
  for (uint32_t n :
       {0x3fffffffU, 0x7fffffffU, 0x80000000U, 0xbfffffffU, 0xc0000000U, 0xfffffffeU, 0xffffffffU})
    numbers.push_back(n);
  for (int i = 0; i < 16; ++i) numbers.push_back(static_cast<uint32_t>(random()));

  std::set<uint32_t> archs = {0x1234, vessel::arch_info(vessel::native_arch).audit,
                              vessel::arch_info(Arch::x86).audit,
                              vessel::arch_info(Arch::riscv64).audit};
  for (const std::string& name : profile.architectures)
    archs.insert(vessel::arch_info(vessel::arch_by_name(name).value()).audit);
  for (const vessel::ArchInfo& info : vessel::architectures) {
    if (!archs.contains(info.audit)) continue;
    for (const auto& [number, values] : argument_values(profile, info)) {
      seccomp_data data = {};
      data.arch = info.audit;
      data.nr = static_cast<int>(number);
      if (!visit_arguments(data, values, random, visit)) return false;
    }
  }
  for (uint32_t arch : archs)
    for (uint32_t number : numbers) {
      seccomp_data data = {};
      data.arch = arch;
      data.nr = static_cast<int>(number);
      if (!visit(data)) return false;
      for (size_t i = 0; i < std::min<size_t>(asked.size(), 12); ++i) {
        const auto& [index, value] = asked[asked.size() <= 12 ? i : random() % asked.size()];
        data.args[index] = value;
        if (!visit(data)) return false;
        data.args[index] = 0;
      }
    }
  return true;
}

using Oracle = std::function<uint32_t(const seccomp_data&)>;

// Says where the program decides other than the oracle; empty when nowhere.
std::string difference(const oci::Seccomp& profile, const Oracle& oracle,
                       const std::vector<sock_filter>& program, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string found;
  visit_probes(profile, random, [&](const seccomp_data& data) {
    uint32_t ours = 0;
    const uint32_t theirs = oracle(data);
    try {
      ours = run_filter(program, data);
    } catch (const std::exception& e) {
      found = show(data) + ": " + e.what();
      return false;
    }
    if (ours == theirs) return true;
    char text[80];
    std::snprintf(text, sizeof text, ": ours %#x, expected %#x", ours, theirs);
    found = show(data) + text;
    return false;
  });
  return found;
}

Oracle decisions_of(const ReferenceFilter& reference) {
  return [&reference](const seccomp_data& data) { return reference.decide(data); };
}

void report(uint64_t seed, const std::string& found, const oci::Seccomp& profile) {
  std::printf("# profile %llu: %s\n%s", static_cast<unsigned long long>(seed), found.c_str(),
              describe(profile).c_str());
}

int check_generated(unsigned count, uint64_t seed) {
  unsigned compared = 0, refused = 0, wrong_reference = 0, wrong = 0;
  for (uint64_t at = seed; at < seed + count; ++at) {
    const oci::Seccomp profile = generate_profile(at, true);
    const auto reference = ReferenceFilter::make(profile);
    if (!reference) {
      ++refused;
      continue;
    }
    ++compared;
    const auto program = vessel::compile_seccomp(profile).code;
    if (difference(profile, decisions_of(*reference), program, at).empty()) continue;
    const auto right = [&](const seccomp_data& data) {
      const uint32_t theirs = reference->decide(data);
      // Asking for the meaning of every call would take long: only where the two differ.
      return run_filter(program, data) == theirs ? theirs : meaning(profile, data);
    };
    const std::string found = difference(profile, right, program, at);
    if (found.empty()) {
      ++wrong_reference;
      continue;
    }
    if (++wrong <= 5) report(at, found, profile);
  }
  std::printf(
      "# %u profiles compared, %u refused by libseccomp; wrong: libseccomp in %u, ours in %u\n",
      compared, refused, wrong_reference, wrong);
  return wrong == 0 && wrong_reference * 50 <= compared && compared * 2 > count ? 0 : 1;
}

int check_meaning(unsigned count, uint64_t seed) {
  unsigned wrong = 0;
  for (uint64_t at = seed; at < seed + count; ++at) {
    const oci::Seccomp profile = generate_profile(at, false);
    const auto program = vessel::compile_seccomp(profile).code;
    const std::string found = difference(
        profile, [&](const seccomp_data& data) { return meaning(profile, data); }, program, at);
    if (!found.empty() && ++wrong <= 5) report(at, found, profile);
  }
  std::printf("# %u profiles with overlapping rules; wrong: %u\n", count, wrong);
  return wrong == 0 ? 0 : 1;
}

int check_files(char** first, char** last) {
  int result = 0;
  for (; first != last; ++first) {
    const oci::Seccomp profile = read_profile_file(*first);
    const auto reference = ReferenceFilter::make(profile);
    if (!reference) throw std::runtime_error("libseccomp refuses the profile");
    const auto program = vessel::compile_seccomp(profile);
    const std::string found = difference(profile, decisions_of(*reference), program.code, 1);
    std::printf("# %s: %zu instructions, libseccomp's %zu%s%s\n", *first, program.code.size(),
                reference->size(), found.empty() ? "" : "; ", found.c_str());
    if (!found.empty()) result = 1;
  }
  return result;
}

// Changes each instruction in one way that makes it mean something else.
int check_mutations(const char* file) {
  const oci::Seccomp profile = read_profile_file(file);
  const auto reference = ReferenceFilter::make(profile);
  const auto program = vessel::compile_seccomp(profile).code;
  size_t missed = 0;
  for (size_t i = 0; i < program.size(); ++i) {
    auto changed = program;
    sock_filter& instruction = changed[i];
    switch (BPF_CLASS(instruction.code)) {
      case BPF_RET:
        instruction.k ^= 0x00040000;
        break;
      case BPF_JMP:
        if (BPF_OP(instruction.code) == BPF_JA || i % 2 == 0)
          instruction.k += 1;
        else
          std::swap(instruction.jt, instruction.jf);
        break;
      case BPF_LD:
        instruction.k ^= 4;
        break;
      default:
        instruction.k ^= 1;
    }
    if (!difference(profile, decisions_of(*reference), changed, 1).empty()) continue;
    ++missed;
    std::printf("# not noticed: instruction %zu {%#x, %u, %u, %#x}\n", i, program[i].code,
                program[i].jt, program[i].jf, program[i].k);
  }
  std::printf("# %zu instructions changed one at a time, %zu not noticed\n", program.size(),
              missed);
  return missed == 0 ? 0 : 1;
}

int time_compiling(const char* file) {
  const oci::Seccomp profile = read_profile_file(file);
  std::vector<double> times;
  size_t size = 0;
  for (int i = 0; i < 200; ++i) {
    const auto start = std::chrono::steady_clock::now();
    size = vessel::compile_seccomp(profile).code.size();
    const auto end = std::chrono::steady_clock::now();
    times.push_back(std::chrono::duration<double, std::micro>(end - start).count());
  }
  std::printf("first %.0f us, ", times.front());
  std::sort(times.begin(), times.end());
  std::printf("median %.0f us, %zu instructions\n", times[times.size() / 2], size);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string mode = argv[1];
  try {
    if (mode == "generated")
      return check_generated(static_cast<unsigned>(std::atoi(argv[2])),
                             argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);
    if (mode == "meaning")
      return check_meaning(static_cast<unsigned>(std::atoi(argv[2])),
                           argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1);
    if (mode == "profile") return check_files(argv + 2, argv + argc);
    if (mode == "mutate") return check_mutations(argv[2]);
    if (mode == "time") return time_compiling(argv[2]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 2;
}
