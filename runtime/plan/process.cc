#include <algorithm>
#include <array>
#include <unordered_set>

#include "runtime/plan/capability_names.hh"
#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

void plan_env(const oci::Process& process, Problems& problems, ProcessPlan& plan) {
  std::unordered_set<std::string_view> seen;
  seen.reserve(process.env.size());
  plan.env.reserve(process.env.size());
  plan.set_home = true;
  std::vector<size_t> malformed;
  // From the end: the last one of a name wins.
  for (size_t i = process.env.size(); i-- > 0;) {
    const std::string& entry = process.env[i];
    const size_t equals = entry.find('=');
    if (equals == entry.npos || equals == 0 || entry.find('\0') != entry.npos) {
      malformed.push_back(i);
      continue;
    }
    const std::string_view name = std::string_view(entry).substr(0, equals);
    if (!seen.insert(name).second) continue;
    if (name == "HOME") {
      if (equals + 1 == entry.size()) continue;
      plan.set_home = false;
    }
    plan.env.push_back(entry);
  }
  std::reverse(plan.env.begin(), plan.env.end());
  for (auto i = malformed.rbegin(); i != malformed.rend(); ++i)
    problems.config(at("process.env", *i), "expected NAME=value");
}

// Numbers of asm-generic/resource.h, which x86, ARM, RISC-V and s390 share.
constexpr std::array<std::string_view, 16> rlimit_names = {
    "RLIMIT_CPU",      "RLIMIT_FSIZE", "RLIMIT_DATA",   "RLIMIT_STACK",
    "RLIMIT_CORE",     "RLIMIT_RSS",   "RLIMIT_NPROC",  "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",  "RLIMIT_AS",    "RLIMIT_LOCKS",  "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE", "RLIMIT_NICE",  "RLIMIT_RTPRIO", "RLIMIT_RTTIME"};

void plan_rlimits(const oci::Process& process, Problems& problems, ProcessPlan& plan) {
  uint32_t seen = 0;
  for (size_t i = 0; i < process.rlimits.size(); ++i) {
    const oci::Rlimit& r = process.rlimits[i];
    const auto found = std::find(rlimit_names.begin(), rlimit_names.end(), r.type);
    if (found == rlimit_names.end()) {
      problems.config(at("process.rlimits", i, "type"), "unknown limit \"" + r.type + "\"");
      continue;
    }
    const auto resource = static_cast<int>(found - rlimit_names.begin());
    if (seen & 1u << resource)
      problems.config(at("process.rlimits", i, "type"), r.type + " is there twice");
    seen |= 1u << resource;
    if (r.soft > r.hard)
      problems.config(at("process.rlimits", i, "soft"),
                      "must not be above hard, " + std::to_string(r.hard));
    plan.rlimits.push_back({resource, r.type, r.soft, r.hard});
  }
}

class CapabilityPlanner {
 public:
  explicit CapabilityPlanner(const ProcessContext& context) : context_(context) {
    const uint32_t last = std::min(context.facts.last_capability, uint32_t{63});
    known_ = last == 63 ? ~uint64_t{0} : (uint64_t{1} << (last + 1)) - 1;
    // The first process of a user namespace, and one that joins it, has all of them there.
    const bool gained = context.new_user || context.joined_user;
    grantable_ = gained ? known_ : known_ & context.facts.capability_bounding;
  }

  CapabilityPlan plan(const oci::Capabilities& wanted) {
    CapabilityPlan plan;
    plan.bounding = mask(wanted.bounding, "bounding");
    plan.effective = mask(wanted.effective, "effective");
    plan.inheritable = mask(wanted.inheritable, "inheritable");
    plan.permitted = mask(wanted.permitted, "permitted");
    plan.ambient = mask(wanted.ambient, "ambient");
    // capset(2) and PR_CAP_AMBIENT_RAISE refuse what is not permitted (and, for the second,
    // inheritable): it cannot be granted, and config.md wants a warning then, not a failure.
    restrict(plan.effective, plan.permitted, "effective", "permitted");
    restrict(plan.ambient, plan.permitted & plan.inheritable, "ambient",
             "permitted and inheritable");
    return plan;
  }

 private:
  uint64_t mask(const std::vector<std::string>& names, std::string_view set) {
    uint64_t bits = 0;
    for (size_t i = 0; i < names.size(); ++i) {
      const std::optional<uint32_t> number = capability_number(names[i]);
      const uint64_t bit = number ? uint64_t{1} << *number : 0;
      if (bit & grantable_) {
        bits |= bit;
        continue;
      }
      context_.problems.warn(at(std::string("process.capabilities.").append(set), i),
                             !number           ? "unknown capability " + names[i]
                             : !(bit & known_) ? names[i] + " is newer than this kernel"
                                               : names[i] + " is not ours to give");
    }
    return bits;
  }

  void restrict(uint64_t& bits, uint64_t limit, std::string_view set, std::string_view to) {
    std::string left_out;
    for (uint32_t i = 0; i < std::size(capability_names); ++i)
      if (bits & ~limit & uint64_t{1} << i)
        left_out.append(left_out.empty() ? "" : ", ").append(capability_names[i]);
    if (!left_out.empty())
      context_.problems.warn(std::string("process.capabilities.").append(set),
                             left_out.append(" left out, as not ").append(to));
    bits &= limit;
  }

  const ProcessContext& context_;
  uint64_t known_ = 0, grantable_ = 0;
};

void plan_user(const oci::User& user, const ProcessContext& context, ProcessPlan& plan) {
  plan.uid = user.uid;
  plan.gid = user.gid;
  plan.additional_gids = user.additional_gids;
  // config.md leaves the caller's umask alone; runc and crun give 022, and images rely on it.
  plan.umask = user.umask.value_or(022);
  // The highest number means "unchanged" to setresuid(2): the process would stay root.
  const auto refuse_none = [&](std::string path, uint32_t id) {
    if (id == UINT32_MAX)
      context.problems.config(std::move(path), "4294967295 is no id: expected 0 to 4294967294");
  };
  refuse_none("process.user.uid", user.uid);
  refuse_none("process.user.gid", user.gid);
  for (size_t i = 0; i < user.additional_gids.size(); ++i)
    refuse_none(at("process.user.additionalGids", i), user.additional_gids[i]);
  if (*plan.umask > 0777) context.problems.config("process.user.umask", "expected 0 to 511 (0777)");
  const auto keep = context.container.annotations.find("run.oci.keep_original_groups");
  plan.keep_groups = keep != context.container.annotations.end() && keep->second != "0";
  if (context.setgroups_denied && !plan.keep_groups && !user.additional_gids.empty())
    context.problems.host("process.user.additionalGids",
                          "cannot be set: in this user namespace setgroups(2) is denied");
  if (!context.new_user) return;
  const auto check = [&](std::string path, uint32_t id, const auto& mappings,
                         std::string_view name) {
    if (!mappings.empty() && !map_to_host(mappings, id))
      context.problems.config(std::move(path),
                              std::to_string(id) + " is not mapped in " + std::string(name));
  };
  check("process.user.uid", user.uid, context.linux_.uid_mappings, "linux.uidMappings");
  check("process.user.gid", user.gid, context.linux_.gid_mappings, "linux.gidMappings");
  for (size_t i = 0; i < user.additional_gids.size(); ++i)
    check(at("process.user.additionalGids", i), user.additional_gids[i],
          context.linux_.gid_mappings, "linux.gidMappings");
}

void plan_labels(const oci::Process& process, const ProcessContext& context, ProcessPlan& plan) {
  // A module that the host does not have confines nothing there: as with linux.mountLabel the
  // container runs without, and `check` tells.
  if (context.facts.apparmor)
    plan.apparmor_profile = process.apparmor_profile;
  else if (!process.apparmor_profile.empty())
    context.problems.leave_out("process.apparmorProfile", "AppArmor is not enabled on this host");
  if (context.facts.selinux)
    plan.selinux_label = process.selinux_label;
  else if (!process.selinux_label.empty())
    context.problems.leave_out("process.selinuxLabel", "SELinux is not enabled on this host");
}

}  // namespace

ProcessPlan plan_process(const oci::Process& process, const ProcessContext& context) {
  ProcessPlan plan;
  Problems& problems = context.problems;
  plan.args = process.args;
  if (plan.args.empty())
    problems.config("process.args", "must name the program to run");
  else if (plan.args[0].empty())
    problems.config("process.args[0]", "must not be empty");
  plan_env(process, problems, plan);
  plan.cwd = process.cwd;
  if (!plan.cwd.starts_with('/')) problems.config("process.cwd", "expected an absolute path");
  plan_user(process.user, context, plan);
  plan.capabilities = process.capabilities ? CapabilityPlanner(context).plan(*process.capabilities)
                                           : CapabilityPlan{};
  plan_rlimits(process, problems, plan);
  plan.no_new_privileges = process.no_new_privileges;
  plan.oom_score_adj = process.oom_score_adj;
  if (plan.oom_score_adj && (*plan.oom_score_adj < -1000 || *plan.oom_score_adj > 1000))
    problems.config("process.oomScoreAdj", "expected -1000 to 1000");
  plan_scheduling(process, context, plan);
  plan_labels(process, context, plan);
  plan.terminal = process.terminal;
  if (process.terminal) plan.console_size = process.console_size;
  if (plan.console_size &&
      (plan.console_size->height > 0xffff || plan.console_size->width > 0xffff))
    problems.config("process.consoleSize", "expected at most 65535 rows and columns");
  return plan;
}

}  // namespace vessel
