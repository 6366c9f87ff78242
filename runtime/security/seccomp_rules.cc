#include "runtime/security/seccomp_rules.hh"

#include <linux/seccomp.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/security/syscall_names.hh"

namespace vessel::seccomp {

namespace {

constexpr uint32_t max_errno = 0xffff;  // SECCOMP_RET_DATA

struct ActionName {
  std::string_view name;
  uint32_t value;
  bool takes_errno = false;
};

constexpr ActionName actions[] = {
    {"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW},
    {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO, true},
    {"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
    {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
    {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
    {"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF},
    {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE, true},
    {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
};

struct OperatorName {
  std::string_view name;
  Compare op;
};

constexpr OperatorName operators[] = {
    {"SCMP_CMP_NE", Compare::ne},
    {"SCMP_CMP_LT", Compare::lt},
    {"SCMP_CMP_LE", Compare::le},
    {"SCMP_CMP_EQ", Compare::eq},
    {"SCMP_CMP_GE", Compare::ge},
    {"SCMP_CMP_GT", Compare::gt},
    {"SCMP_CMP_MASKED_EQ", Compare::masked_eq},
};

class Reader {
 public:
  Reader(const oci::Seccomp& seccomp, std::vector<oci::Problem>& problems, bool with_names)
      : seccomp_(seccomp), problems_(problems), with_names_(with_names) {}

  Profile read() {
    profile_.default_action = action("defaultAction", "defaultErrnoRet", seccomp_.default_action,
                                     seccomp_.default_errno_ret);
    // With a permissive default, newer calls are allowed like all others, and a tracer is thought
    // to handle them.
    const uint32_t kind = profile_.default_action & SECCOMP_RET_ACTION_FULL;
    profile_.enosys_beyond_last =
        kind != SECCOMP_RET_ALLOW && kind != SECCOMP_RET_LOG && kind != SECCOMP_RET_TRACE;
    if (kind == SECCOMP_RET_USER_NOTIF)
      problem("defaultAction",
              "SCMP_ACT_NOTIFY cannot be the default: the container could not "
              "be started");
    read_architectures();
    for (size_t i = 0; i < seccomp_.syscalls.size(); ++i) read_syscall(i);
    for (ArchProfile& arch : profile_.archs)
      std::stable_sort(arch.entries.begin(), arch.entries.end(),
                       [](const Entry& a, const Entry& b) { return a.number < b.number; });
    if (profile_.notifies && seccomp_.listener_path.empty())
      problem("listenerPath", "missing: SCMP_ACT_NOTIFY needs a listener");
    if (seccomp_.listener_path.empty() && !seccomp_.listener_metadata.empty())
      problem("listenerMetadata", "must not be set without listenerPath");
    return std::move(profile_);
  }

 private:
  void problem(const std::string& path, const std::string& text) {
    problems_.push_back({"linux.seccomp." + path, text});
  }

  uint32_t action(const std::string& path, const std::string& errno_path, std::string_view name,
                  const std::optional<uint32_t>& errno_ret) {
    for (const ActionName& known : actions) {
      if (known.name != name) continue;
      if (!known.takes_errno) {
        if (errno_ret) problem(errno_path, std::string(name) + " does not return an errno");
        return known.value;
      }
      const uint32_t number = errno_ret.value_or(EPERM);
      if (number > max_errno) problem(errno_path, "more than 65535");
      return known.value | (number & SECCOMP_RET_DATA);
    }
    problem(path, "unknown action \"" + std::string(name) + "\"");
    return SECCOMP_RET_KILL_PROCESS;
  }

  void read_architectures() {
    // The native one is always part of the filter, listed or not.
    profile_.archs.push_back({&arch_info(native_arch), {}, 0});
    for (size_t i = 0; i < seccomp_.architectures.size(); ++i) {
      const std::string path = "architectures[" + std::to_string(i) + "]";
      const std::string& name = seccomp_.architectures[i];
      const auto arch = arch_by_name(name);
      if (!arch) {
        problem(path, "unknown architecture \"" + name + "\"");
        continue;
      }
      const ArchInfo& info = arch_info(*arch);
      if (info.little_endian != arch_info(native_arch).little_endian) {
        problem(path, name + " has another byte order than this machine");
        continue;
      }
      const auto same = [&](const ArchProfile& other) { return other.arch == &info; };
      if (std::none_of(profile_.archs.begin(), profile_.archs.end(), same))
        profile_.archs.push_back({&info, {}, 0});
    }
    if (with_names_)
      for (ArchProfile& arch : profile_.archs) arch.entries.reserve(512);
  }

  void read_syscall(size_t index) {
    const oci::SeccompSyscall& call = seccomp_.syscalls[index];
    const std::string path = "syscalls[" + std::to_string(index) + "]";
    if (call.names.empty()) problem(path + ".names", "empty");
    const uint32_t act = action(path + ".action", path + ".errnoRet", call.action, call.errno_ret);
    if (act == SECCOMP_RET_USER_NOTIF) profile_.notifies = true;

    // A rule that does what the default does anyway is none, as runc has it; its names still
    // count as known to the profile.
    const bool redundant = act == profile_.default_action;
    const auto first_rule = static_cast<uint16_t>(profile_.rules.size());
    if (!redundant) read_rules(path, call, act);
    const auto rules_end = static_cast<uint16_t>(profile_.rules.size());

    if (!with_names_) return;
    for (const std::string& name : call.names) {
      const SyscallRow* row = find_syscall(name);
      if (row == nullptr) continue;  // a call that this program does not know, as every runtime
      const MultiplexedCall multiplexed = multiplexed_call(*row);
      for (ArchProfile& arch : profile_.archs)
        add_entries(arch, *row, multiplexed, first_rule, rules_end);
    }
  }

  void add_entries(ArchProfile& arch, const SyscallRow& row, MultiplexedCall multiplexed,
                   uint16_t first_rule, uint16_t rules_end) {
    const int32_t number = row.on(arch.arch->arch);
    // Where a call can be multiplexed, its direct number does not count for `last`: libseccomp
    // knows such a call by a negative pseudo number, and runc's stub asks libseccomp.
    const bool socket = multiplexed.socketcall != 0 && arch.arch->socketcall != 0;
    const bool ipc = multiplexed.ipc != 0 && arch.arch->ipc != 0;
    if (number > 0 && !socket && !ipc) arch.last = std::max(arch.last, uint32_t(number));
    for (uint16_t rule = first_rule; rule < rules_end; ++rule) {
      if (socket) arch.entries.push_back({arch.arch->socketcall, rule, multiplexed.socketcall});
      if (ipc) arch.entries.push_back({arch.arch->ipc, rule, multiplexed.ipc});
      if (number >= 0) arch.entries.push_back({static_cast<uint32_t>(number), rule, 0});
    }
  }

  // One rule whose conditions must all hold; but where two look at the same argument, a rule for
  // each condition, as runc keeps doing for old profiles.
  void read_rules(const std::string& path, const oci::SeccompSyscall& call, uint32_t act) {
    std::vector<Condition> conditions;
    unsigned seen = 0;
    bool repeated = false;
    for (size_t i = 0; i < call.args.size(); ++i) {
      const oci::SeccompArg& arg = call.args[i];
      const std::string arg_path = path + ".args[" + std::to_string(i) + "]";
      const auto op = std::find_if(std::begin(operators), std::end(operators),
                                   [&](const OperatorName& known) { return known.name == arg.op; });
      if (op == std::end(operators)) {
        problem(arg_path + ".op", "unknown operator \"" + arg.op + "\"");
        continue;
      }
      if (arg.index > 5) {
        problem(arg_path + ".index", "more than 5: a system call has six arguments");
        continue;
      }
      if (seen & 1U << arg.index) repeated = true;
      seen |= 1U << arg.index;
      Condition condition{.arg = static_cast<uint8_t>(arg.index), .op = op->op, .value = arg.value};
      if (op->op == Compare::masked_eq) {
        condition.mask = arg.value;
        condition.value = arg.value_two & arg.value;
      }
      conditions.push_back(condition);
    }
    if (profile_.rules.size() + conditions.size() + 1 > UINT16_MAX) {
      problem(path, "too many rules");
      return;
    }
    if (repeated) {
      for (const Condition& condition : conditions) profile_.rules.push_back({act, {condition}});
      return;
    }
    std::sort(conditions.begin(), conditions.end(),
              [](const Condition& a, const Condition& b) { return a.arg < b.arg; });
    profile_.rules.push_back({act, std::move(conditions)});
  }

  const oci::Seccomp& seccomp_;
  std::vector<oci::Problem>& problems_;
  const bool with_names_;
  Profile profile_;
};

// libseccomp tries rules in an order of its own, which shows only where rules of different actions
// overlap: the highest argument first; equality before "less" before "greater"; for "less" the
// smallest value first, otherwise the largest.
int order_class(Compare op) {
  switch (op) {
    case Compare::eq:
    case Compare::ne:
    case Compare::masked_eq:
      return 0;
    case Compare::lt:
    case Compare::le:
      return 1;
    case Compare::ge:
    case Compare::gt:
      return 2;
  }
  return 3;
}

bool tried_before(const Condition& a, const Condition& b) {
  if (a.arg != b.arg) return a.arg > b.arg;
  const int class_a = order_class(a.op), class_b = order_class(b.op);
  if (class_a != class_b) return class_a < class_b;
  return class_a == 1 ? a.value < b.value : a.value > b.value;
}

}  // namespace

Profile read_profile(const oci::Seccomp& seccomp, std::vector<oci::Problem>& problems) {
  return Reader(seccomp, problems, true).read();
}

void check_profile(const oci::Seccomp& seccomp, std::vector<oci::Problem>& problems) {
  Reader(seccomp, problems, false).read();
}

std::vector<Rule> effective_rules(const Profile& profile, const ArchInfo& arch, const Entry* first,
                                  const Entry* last) {
  // 32-bit architectures see only the low words.
  const uint64_t word = arch.is_64bit ? ~uint64_t{0} : uint64_t{0xffff'ffff};
  std::vector<Rule> rules;
  for (const Entry* entry = first; entry != last; ++entry) {
    Rule rule = profile.rules[entry->rule];
    std::vector<Condition> conditions;
    if (entry->multiplexed != 0)
      conditions.push_back(
          {.arg = 0, .op = Compare::eq, .mask = word, .value = entry->multiplexed});
    for (Condition condition : rule.conditions) {
      if (entry->multiplexed != 0 && condition.arg == 0) continue;
      condition.mask &= word;
      condition.value &= word;
      // An empty mask compares nothing.
      if (condition.op == Compare::masked_eq && condition.mask == 0) continue;
      conditions.push_back(condition);
    }
    rule.conditions = std::move(conditions);
    // The first rule without conditions decides alone, wherever it stands.
    if (rule.conditions.empty()) return {std::move(rule)};
    rules.push_back(std::move(rule));
  }
  std::stable_sort(rules.begin(), rules.end(), [](const Rule& a, const Rule& b) {
    return std::lexicographical_compare(a.conditions.begin(), a.conditions.end(),
                                        b.conditions.begin(), b.conditions.end(), tried_before);
  });
  const auto same = [](const Rule& a, const Rule& b) {
    return a.action == b.action && a.conditions == b.conditions;
  };
  rules.erase(std::unique(rules.begin(), rules.end(), same), rules.end());
  return rules;
}

}  // namespace vessel::seccomp
