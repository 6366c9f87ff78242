#include "tests/security/seccomp_profiles.hh"

#include <seccomp.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "runtime/security/syscall_names.hh"

namespace {

bool known(const std::string& name) {
  return seccomp_syscall_resolve_name(name.c_str()) != __NR_SCMP_ERROR;
}

// libseccomp cannot list its names; those of a few architectures' numbers are enough.
std::vector<std::string> all_names() {
  std::set<std::string> names;
  for (uint32_t token : std::initializer_list<uint32_t>{SCMP_ARCH_X86_64, SCMP_ARCH_X86,
                                                        SCMP_ARCH_ARM, SCMP_ARCH_PPC64LE})
    for (int number = 0; number < 500; ++number) {
      char* name = seccomp_syscall_resolve_num_arch(token, number);
      if (name == nullptr) continue;
      if (known(name)) names.insert(name);
      free(name);
    }
  return {names.begin(), names.end()};
}

class Generator {
 public:
  Generator(uint64_t seed, bool comparable) : comparable_(comparable), random_(seed) {}

  oci::Seccomp make() {
    oci::Seccomp profile;
    profile.default_action = pick(default_actions_);
    if (profile.default_action == "SCMP_ACT_ERRNO" && chance(2)) profile.default_errno_ret = 38;
    for (const char* arch : {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"})
      if (chance(2)) profile.architectures.push_back(arch);
    for (const char* arch : {"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_PPC64LE",
                             "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_RISCV64"})
      if (chance(10)) profile.architectures.push_back(arch);
    const auto calls = below(chance(8) ? 60 : 12);
    for (uint64_t i = 0; i < calls; ++i) profile.syscalls.push_back(call());
    return profile;
  }

 private:
  uint64_t below(uint64_t n) { return random_() % n; }
  bool chance(uint64_t n) { return below(n) == 0; }
  template <typename T>
  T pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

  oci::SeccompSyscall call() {
    static const std::vector<std::string> names = all_names();
    oci::SeccompSyscall call;
    const auto count = 1 + below(chance(4) ? 20 : 3);
    for (uint64_t i = 0; i < count; ++i)
      call.names.push_back(chance(4) ? pick(multiplexed_) : pick(names));
    const bool conditional = chance(3);
    call.action = pick(actions_);
    if (call.action == "SCMP_ACT_ERRNO" || call.action == "SCMP_ACT_TRACE")
      if (chance(2)) call.errno_ret = static_cast<uint32_t>(1 + below(130));
    if (conditional) add_conditions(call);
    return call;
  }

  void add_conditions(oci::SeccompSyscall& call) {
    const auto count = 1 + below(3);
    for (uint64_t i = 0; i < count; ++i) {
      oci::SeccompArg arg;
      arg.index = static_cast<uint32_t>(chance(3) ? below(6) : below(2));
      arg.op = pick(operators_);
      arg.value = value();
      if (arg.op == "SCMP_CMP_MASKED_EQ")
        arg.value_two = chance(2) ? arg.value & random_() : value();
      call.args.push_back(arg);
    }
    keep_comparable(call);
  }

  // libseccomp's tree of conditions decides wrongly where two rules of one call compare the same
  // argument by size (such as "less than 40" and "at most 2^32"), and refuses some rules of
  // different actions. What is compared with it therefore has size comparisons in a call's only
  // conditional rule, and one action for all conditional rules of the call. Everything else is
  // compared with the rules' meaning instead.
  void keep_comparable(oci::SeccompSyscall& call) {
    std::set<uint32_t> arguments;
    bool repeated = false, by_size = false;
    for (const oci::SeccompArg& arg : call.args) {
      if (!arguments.insert(arg.index).second) repeated = true;
      if (arg.op != "SCMP_CMP_EQ" && arg.op != "SCMP_CMP_NE" && arg.op != "SCMP_CMP_MASKED_EQ")
        by_size = true;
    }
    call.action = "SCMP_ACT_LOG";
    call.errno_ret.reset();
    if (!comparable_) {
      // Beside the multiplexed calls' own rules, which may be of any action.
      std::erase_if(call.names,
                    [](const auto& name) { return name == "ipc" || name == "socketcall"; });
      if (call.names.empty()) call.names.push_back("read");
      return;
    }
    if (repeated && by_size) call.args.resize(1);
    const auto taken = [&](const std::string& name) {
      if (by_size ? conditional_.contains(name) : by_size_.contains(name)) return true;
      return by_size && (name == "ipc" || name == "socketcall");
    };
    std::erase_if(call.names, taken);
    if (call.names.empty()) call.names.push_back("read"), call.args.clear();
    conditional_.insert(call.names.begin(), call.names.end());
    if (by_size) by_size_.insert(call.names.begin(), call.names.end());
  }

  uint64_t value() {
    static const std::vector<uint64_t> values = {0,
                                                 1,
                                                 2,
                                                 16,
                                                 40,
                                                 0x7fffffff,
                                                 0x80000000,
                                                 0xffffffff,
                                                 0x100000000,
                                                 0x100000001,
                                                 0x7e020000,
                                                 0xffffffff00000000,
                                                 0xffffffffffffffff,
                                                 uint64_t{1} << 63};
    return chance(4) ? random_() >> below(64) : pick(values);
  }

  const bool comparable_;
  std::set<std::string> conditional_, by_size_;
  std::mt19937_64 random_;
  const std::vector<std::string> default_actions_ = {
      "SCMP_ACT_ERRNO", "SCMP_ACT_ERRNO",        "SCMP_ACT_ALLOW", "SCMP_ACT_KILL",
      "SCMP_ACT_TRAP",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRACE"};
  const std::vector<std::string> actions_ = {
      "SCMP_ACT_ALLOW", "SCMP_ACT_ALLOW",       "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO",
      "SCMP_ACT_ERRNO", "SCMP_ACT_KILL",        "SCMP_ACT_TRAP",  "SCMP_ACT_TRACE",
      "SCMP_ACT_LOG",   "SCMP_ACT_KILL_PROCESS"};
  const std::vector<std::string> operators_ = {"SCMP_CMP_EQ",       "SCMP_CMP_NE", "SCMP_CMP_LT",
                                               "SCMP_CMP_LE",       "SCMP_CMP_GT", "SCMP_CMP_GE",
                                               "SCMP_CMP_MASKED_EQ"};
  const std::vector<std::string> multiplexed_ = {
      "socket", "bind",   "accept", "accept4", "recvmmsg", "sendmmsg",   "send", "recv",
      "semop",  "semctl", "shmat",  "msgget",  "shmctl",   "semtimedop", "ipc",  "socketcall"};
};

uint64_t number(const std::string& text) {
  return std::stoull(text, nullptr, 0);
}

oci::SeccompSyscall read_rule(std::istringstream& words) {
  oci::SeccompSyscall call;
  std::string word;
  words >> call.action;
  while (words >> word && word != ":") {
    if (word != "if") {
      if (!call.args.empty())
        call.args.back().value_two = number(word);
      else
        call.errno_ret = static_cast<uint32_t>(number(word));
      continue;
    }
    oci::SeccompArg arg;
    std::string index, value;
    words >> index >> arg.op >> value;
    arg.index = static_cast<uint32_t>(number(index));
    arg.value = number(value);
    call.args.push_back(arg);
  }
  while (words >> word)
    if (known(word)) call.names.push_back(word);
  return call;
}

// podman's file: each rule may be for some architectures or capabilities only.
bool applies(const nlohmann::json& rule) {
  const std::set<std::string> capabilities = {
      "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
      "CAP_KILL",    "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",   "CAP_SETGID",
      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT"};
  const auto listed = [&](const char* where, const char* what) {
    return rule.contains(where) && rule[where].is_object()
               ? rule[where].value(what, nlohmann::json::array())
               : nlohmann::json::array();
  };
  const auto any_capability = [&](const nlohmann::json& names) {
    return std::any_of(names.begin(), names.end(), [&](const nlohmann::json& name) {
      return capabilities.contains(name.get<std::string>());
    });
  };
  const auto has_arch = [](const nlohmann::json& names) {
    return std::find(names.begin(), names.end(), "amd64") != names.end();
  };
  if (has_arch(listed("excludes", "arches")) || any_capability(listed("excludes", "caps")))
    return false;
  if (const auto arches = listed("includes", "arches"); !arches.empty() && !has_arch(arches))
    return false;
  const auto caps = listed("includes", "caps");
  return caps.empty() || any_capability(caps);
}

oci::Seccomp read_podman_file(const std::string& path) {
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file);
  oci::Seccomp profile;
  profile.default_action = json.at("defaultAction");
  if (json.contains("defaultErrnoRet")) profile.default_errno_ret = json["defaultErrnoRet"];
  profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  for (const auto& rule : json.at("syscalls")) {
    if (!applies(rule)) continue;
    oci::SeccompSyscall call;
    call.action = rule.at("action");
    if (rule.contains("errnoRet")) call.errno_ret = rule["errnoRet"];
    for (const auto& name : rule.at("names"))
      if (known(name)) call.names.push_back(name);
    if (rule.contains("args") && rule["args"].is_array())
      for (const auto& arg : rule["args"])
        call.args.push_back(
            {arg.at("index"), arg.at("value"), arg.value("valueTwo", uint64_t{0}), arg.at("op")});
    profile.syscalls.push_back(std::move(call));
  }
  return profile;
}

}  // namespace

oci::Seccomp generate_profile(uint64_t seed, bool comparable) {
  return Generator(seed, comparable).make();
}

oci::Seccomp read_profile_file(const std::string& path) {
  if (path.ends_with(".json")) return read_podman_file(path);
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot open " + path);
  oci::Seccomp profile;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind, word;
    words >> kind;
    if (kind == "default") {
      words >> profile.default_action;
      if (words >> word) profile.default_errno_ret = static_cast<uint32_t>(number(word));
    } else if (kind == "arch") {
      words >> word;
      profile.architectures.push_back(word);
    } else if (kind == "rule") {
      profile.syscalls.push_back(read_rule(words));
    } else if (!kind.empty() && kind[0] != '#') {
      throw std::runtime_error(path + ": unknown line: " + line);
    }
  }
  return profile;
}

std::string describe(const oci::Seccomp& profile) {
  std::ostringstream text;
  text << "#   default " << profile.default_action << '\n';
  for (const auto& arch : profile.architectures) text << "#   arch " << arch << '\n';
  for (const auto& call : profile.syscalls) {
    text << "#   rule " << call.action;
    if (call.errno_ret) text << ' ' << *call.errno_ret;
    for (const auto& arg : call.args)
      text << " if " << arg.index << ' ' << arg.op << " 0x" << std::hex << arg.value << " 0x"
           << arg.value_two << std::dec;
    text << " :";
    for (const auto& name : call.names) text << ' ' << name;
    text << '\n';
  }
  return text.str();
}
