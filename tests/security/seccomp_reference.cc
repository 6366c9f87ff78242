#include "tests/security/seccomp_reference.hh"

#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "runtime/security/seccomp_arch.hh"
#include "tests/security/bpf_machine.hh"

namespace {

uint32_t action_of(const std::string& name, std::optional<uint32_t> errno_ret) {
  const uint32_t code = errno_ret.value_or(EPERM);
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(code);
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(code);
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_NOTIFY") return SCMP_ACT_NOTIFY;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  return SCMP_ACT_KILL_THREAD;
}

scmp_arg_cmp condition_of(const oci::SeccompArg& arg) {
  const std::map<std::string, scmp_compare> ops = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                                                   {"SCMP_CMP_LT", SCMP_CMP_LT},
                                                   {"SCMP_CMP_LE", SCMP_CMP_LE},
                                                   {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                                   {"SCMP_CMP_GE", SCMP_CMP_GE},
                                                   {"SCMP_CMP_GT", SCMP_CMP_GT},
                                                   {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  return {arg.index, ops.at(arg.op), arg.value, arg.value_two};
}

uint32_t token_of(const std::string& name) {
  return vessel::arch_info(vessel::arch_by_name(name).value()).libseccomp_token;
}

bool add_rules(scmp_filter_ctx filter, uint32_t action, int number,
               const std::vector<oci::SeccompArg>& args) {
  std::vector<scmp_arg_cmp> conditions;
  std::vector<int> seen(6);
  bool repeated = false;
  for (const oci::SeccompArg& arg : args) {
    conditions.push_back(condition_of(arg));
    if (seen[arg.index]++ != 0) repeated = true;
  }
  if (!repeated)
    return seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(conditions.size()),
                                  conditions.data()) == 0;
  for (const scmp_arg_cmp& one : conditions)
    if (seccomp_rule_add_array(filter, action, number, 1, &one) != 0) return false;
  return true;
}

std::vector<sock_filter> exported(scmp_filter_ctx filter) {
  const int fd = memfd_create("filter", MFD_CLOEXEC);
  if (fd < 0 || seccomp_export_bpf(filter, fd) != 0) throw std::runtime_error("export");
  const off_t size = lseek(fd, 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<size_t>(size) / sizeof(sock_filter));
  if (pread(fd, program.data(), static_cast<size_t>(size), 0) != size)
    throw std::runtime_error("read");
  close(fd);
  return program;
}

}  // namespace

std::optional<ReferenceFilter> ReferenceFilter::make(const oci::Seccomp& profile) {
  const uint32_t default_action = action_of(profile.default_action, profile.default_errno_ret);
  std::unique_ptr<void, void (*)(void*)> filter(seccomp_init(default_action), seccomp_release);
  if (!filter) throw std::runtime_error("seccomp_init");
  ReferenceFilter reference;
  std::vector<uint32_t> tokens = {seccomp_arch_native()};
  for (const std::string& name : profile.architectures) {
    const int rc = seccomp_arch_add(filter.get(), token_of(name));
    if (rc != 0 && rc != -EEXIST) throw std::runtime_error("seccomp_arch_add");
    tokens.push_back(token_of(name));
  }
  size_t names = 0;
  for (const auto& call : profile.syscalls) names += call.names.size();
  if (names > 32) seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);

  for (const oci::SeccompSyscall& call : profile.syscalls) {
    const uint32_t action = action_of(call.action, call.errno_ret);
    for (const std::string& name : call.names) {
      for (uint32_t token : tokens) {
        const int number = seccomp_syscall_resolve_name_arch(token, name.c_str());
        if (number > 0)
          reference.last_[token] = std::max(reference.last_[token], static_cast<uint32_t>(number));
      }
      if (action == default_action) continue;
      const int number = seccomp_syscall_resolve_name(name.c_str());
      if (number == __NR_SCMP_ERROR) continue;
      if (!add_rules(filter.get(), action, number, call.args)) return std::nullopt;
    }
  }
  if (default_action == SCMP_ACT_ALLOW || default_action == SCMP_ACT_LOG ||
      (default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE)
    reference.last_.clear();
  reference.program_ = exported(filter.get());
  return reference;
}

uint32_t ReferenceFilter::decide(const seccomp_data& data) const {
  const auto number = static_cast<uint32_t>(data.nr);
  uint32_t token = data.arch;
  // The check looks at the x32 bit alone to tell the two ABIs of this architecture apart.
  if (token == SCMP_ARCH_X86_64 && (number & vessel::x32_bit) != 0) token = SCMP_ARCH_X32;
  const auto last = last_.find(token);
  if (last != last_.end() && number > last->second) return SCMP_ACT_ERRNO(ENOSYS);
  return run_filter(program_, data);
}
