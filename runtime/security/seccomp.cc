#include "runtime/security/seccomp.hh"

#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "runtime/security/seccomp_arch.hh"
#include "runtime/security/seccomp_program.hh"
#include "runtime/security/seccomp_rules.hh"
#include "runtime/sys/error.hh"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)  // since 5.19
#endif

namespace vessel {

namespace {

struct FlagName {
  std::string_view name;
  uint32_t value;
};

// TSYNC is accepted and without effect: the filter is loaded by a process of one thread.
constexpr FlagName flag_names[] = {
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
};

uint32_t read_flags(const oci::Seccomp& profile, std::vector<oci::Problem>& problems) {
  // Speculation barriers on kernels before 5.16 slow everything under a filter down; runc, too,
  // leaves them away unless the profile says which flags it wants.
  if (!profile.flags) return SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  uint32_t flags = 0;
  for (size_t i = 0; i < profile.flags->size(); ++i) {
    const std::string& name = (*profile.flags)[i];
    const auto known = std::find_if(std::begin(flag_names), std::end(flag_names),
                                    [&](const FlagName& flag) { return flag.name == name; });
    if (known == std::end(flag_names))
      problems.push_back(
          {"linux.seccomp.flags[" + std::to_string(i) + "]", "unknown flag \"" + name + "\""});
    else
      flags |= known->value;
  }
  return flags;
}

long sys_seccomp(unsigned operation, unsigned flags, const void* args) {
  return syscall(SYS_seccomp, operation, flags, args);
}

// The kernel looks at the flags before it looks at the program: EFAULT means that it knows them.
bool kernel_knows(uint32_t flags) {
  return flags == 0 || sys_seccomp(SECCOMP_SET_MODE_FILTER, flags, nullptr) == 0 || errno == EFAULT;
}

bool notifies(const oci::SeccompSyscall& call) {
  return call.action == "SCMP_ACT_NOTIFY";
}

}  // namespace

SeccompProgram compile_seccomp(const oci::Seccomp& profile) {
  std::vector<oci::Problem> problems;
  const seccomp::Profile read = seccomp::read_profile(profile, problems);
  SeccompProgram program;
  program.flags = read_flags(profile, problems);
  if (!problems.empty()) throw Error(problems.front().text());
  program.notifies = read.notifies;
  if (read.notifies)
    program.flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
  else  // the kernel refuses it without a listener, for which alone it means something
    program.flags &= ~static_cast<uint32_t>(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
  program.code = seccomp::generate(read);
  return program;
}

std::vector<oci::Problem> check_seccomp(const oci::Seccomp& profile, bool before_capabilities) {
  std::vector<oci::Problem> problems;
  seccomp::check_profile(profile, problems);
  read_flags(profile, problems);
  const auto needed = syscalls_needed_after_load(before_capabilities);
  for (size_t i = 0; i < profile.syscalls.size(); ++i) {
    if (!notifies(profile.syscalls[i])) continue;
    for (const std::string& name : profile.syscalls[i].names)
      if (std::find(needed.begin(), needed.end(), name) != needed.end())
        problems.push_back({"linux.seccomp.syscalls[" + std::to_string(i) + "]",
                            "SCMP_ACT_NOTIFY cannot be used for " + name +
                                ", which is needed before the listener has its descriptor"});
  }
  return problems;
}

void require_usable_seccomp(const oci::Seccomp& profile, bool before_capabilities) {
  std::string text;
  for (const oci::Problem& problem : check_seccomp(profile, before_capabilities))
    text += (text.empty() ? "" : "\n") + problem.text();
  if (!text.empty()) throw Error(text);
}

std::vector<std::string_view> syscalls_needed_after_load(bool before_capabilities) {
  std::vector<std::string_view> names = {"write", "execve", "exit_group"};
  if (before_capabilities) names.insert(names.end(), {"capset", "capget", "prctl"});
  return names;
}

std::optional<Fd> load_seccomp(const SeccompProgram& program) {
  sock_fprog code = {};
  code.len = static_cast<unsigned short>(program.code.size());
  code.filter = const_cast<sock_filter*>(program.code.data());
  const long result = sys_seccomp(SECCOMP_SET_MODE_FILTER, program.flags, &code);
  if (result < 0) {
    const int error = errno;
    if (error == EINVAL)
      for (const FlagName& flag : flag_names)
        if (program.flags & flag.value && !kernel_knows(flag.value))
          throw SysError("seccomp: this kernel does not know " + std::string(flag.name), error);
    if (error == EBUSY) throw SysError("seccomp: this process has a listener already", error);
    throw SysError("seccomp: load a filter of " + std::to_string(code.len) + " instructions",
                   error);
  }
  // The kernel makes the descriptor close-on-exec.
  if (program.notifies) return Fd(static_cast<int>(result));
  return std::nullopt;
}

std::vector<std::string_view> seccomp_actions() {
  return {"SCMP_ACT_ALLOW",        "SCMP_ACT_ERRNO",       "SCMP_ACT_KILL",
          "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
          "SCMP_ACT_NOTIFY",       "SCMP_ACT_TRACE",       "SCMP_ACT_TRAP"};
}

std::vector<std::string_view> seccomp_operators() {
  return {"SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
          "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"};
}

std::vector<std::string_view> seccomp_architectures() {
  std::vector<std::string_view> names;
  for (const ArchInfo& info : architectures) names.push_back(info.name);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string_view> seccomp_known_flags() {
  std::vector<std::string_view> names;
  for (const FlagName& flag : flag_names) names.push_back(flag.name);
  return names;
}

std::vector<std::string_view> seccomp_supported_flags() {
  std::vector<std::string_view> names;
  for (const FlagName& flag : flag_names) {
    // WAIT_KILLABLE_RECV is known only together with a listener.
    uint32_t value = flag.value;
    if (value == SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) value |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if (kernel_knows(value)) names.push_back(flag.name);
  }
  return names;
}

}  // namespace vessel
