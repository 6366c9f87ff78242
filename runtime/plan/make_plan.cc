#include "runtime/plan/make_plan.hh"

#include <algorithm>
#include <utility>

#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

const oci::Linux& linux_of(const oci::Config& config) {
  static const oci::Linux none;
  return config.linux_ ? *config.linux_ : none;
}

[[noreturn]] void fail(const std::string& file, const std::vector<PlanProblem>& problems) {
  std::vector<oci::Problem> list;
  list.reserve(problems.size());
  for (const PlanProblem& p : problems) list.push_back({p.path, p.message});
  throw oci::FormatError(file, std::move(list));
}

// What does not stop a container becomes a warning of it.
void take_left_out(std::vector<PlanProblem>& problems, std::vector<std::string>& warnings) {
  std::erase_if(problems, [&](const PlanProblem& p) {
    if (p.kind != PlanProblem::Kind::left_out) return false;
    warnings.push_back(p.text() + ": left out");
    return true;
  });
}

// What is only carried along; last, as it takes the values out of the config.
void take_over(oci::Config& config, Plan& plan) {
  plan.hooks = std::move(config.hooks);
  plan.annotations = std::move(config.annotations);
  plan.hostname = std::move(config.hostname);
  plan.domainname = std::move(config.domainname);
  if (!config.linux_) return;
  for (auto& [name, device] : config.linux_->net_devices)
    plan.net_devices.emplace(name,
                             device.name.empty() ? std::string(name) : std::move(device.name));
  plan.seccomp = std::move(config.linux_->seccomp);
  // An object without a default action and rules is how some callers write "no filter".
  if (plan.seccomp && plan.seccomp->default_action.empty()) plan.seccomp.reset();
  if (!plan.seccomp || plan.hooks.start_container.empty()) return;
  const auto notifies = [](const oci::SeccompSyscall& s) { return s.action == "SCMP_ACT_NOTIFY"; };
  plan.seccomp_before_hooks =
      plan.seccomp_before_capabilities || std::ranges::any_of(plan.seccomp->syscalls, notifies);
}

}  // namespace

Plan try_plan(oci::Config config, const HostFacts& facts, const PlanOptions& options,
              std::vector<PlanProblem>& problems) {
  Problems found;
  const bool rootless = options.rootless.value_or(facts.euid != 0 || facts.in_user_namespace);
  const PlanContext context{config, linux_of(config), facts, options, rootless, found};

  Plan plan;
  plan.id = options.id;
  plan.bundle = options.bundle;
  plan.rootless = rootless;
  plan.namespaces = plan_namespaces(context);
  check_config(context, plan.namespaces);
  plan.rootfs = plan_rootfs(context, plan.namespaces);
  plan.cgroup = plan_cgroup(context, plan.namespaces);
  plan.sysctl = plan_sysctl(context, plan.namespaces);
  plan.intel_rdt = plan_intel_rdt(context);
  if (config.process) {
    const NamespacePlan& n = plan.namespaces;
    plan.process = plan_process(*config.process, {config, context.linux_, facts, n.new_user,
                                                  n.joined_user, n.deny_setgroups, found});
    plan.process.new_session_keyring = !options.no_new_keyring;
    plan.process.preserve_fds = options.preserve_fds;
    // config.md "execCPUAffinity": not of the container's init.
    plan.process.affinity_initial.reset();
    plan.process.affinity_final.reset();
    plan.seccomp_before_capabilities = !config.process->no_new_privileges;
  } else {
    // config.md "process": needed by `start` only. What waits for it has no rights.
    plan.seccomp_before_capabilities = true;
    plan.process.umask = 022;
    plan.process.capabilities = CapabilityPlan{};
    plan.process.new_session_keyring = !options.no_new_keyring;
  }
  take_over(config, plan);
  plan.warnings = std::move(found.warnings());
  problems.insert(problems.end(), found.list().begin(), found.list().end());
  return plan;
}

namespace {

// Whether one of the paths is the other or leads to it.
bool related(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) std::swap(a, b);
  return b.starts_with(a) && (a.size() == b.size() || b[a.size()] == '.' || b[a.size()] == '[');
}

}  // namespace

std::vector<PlanProblem> all_problems(const std::vector<oci::Problem>& unread,
                                      std::vector<PlanProblem> problems) {
  // What could not be read was planned with its default: that says nothing.
  std::erase_if(problems, [&](const PlanProblem& p) {
    return std::ranges::any_of(unread, [&](const auto& u) { return related(u.path, p.path); });
  });
  std::vector<PlanProblem> all;
  for (const oci::Problem& u : unread)
    all.push_back({PlanProblem::Kind::config, u.path, u.message});
  all.insert(all.end(), problems.begin(), problems.end());
  return all;
}

Plan make_plan(oci::Config config, const HostFacts& facts, const PlanOptions& options,
               const std::vector<oci::Problem>& unread) {
  std::vector<PlanProblem> problems;
  Plan plan = try_plan(std::move(config), facts, options, problems);
  take_left_out(problems, plan.warnings);
  if (!unread.empty()) problems = all_problems(unread, std::move(problems));
  if (!problems.empty()) fail(options.bundle + "/config.json", problems);
  return plan;
}

void complete_exec_process(oci::Process& process, const oci::Config& container) {
  if (!container.process) return;
  const oci::Process& own = *container.process;
  if (!process.capabilities) process.capabilities = own.capabilities;
  if (process.apparmor_profile.empty()) process.apparmor_profile = own.apparmor_profile;
  if (process.selinux_label.empty()) process.selinux_label = own.selinux_label;
  if (process.rlimits.empty()) process.rlimits = own.rlimits;
  if (!process.oom_score_adj) process.oom_score_adj = own.oom_score_adj;
  if (!process.scheduler) process.scheduler = own.scheduler;
  if (!process.io_priority) process.io_priority = own.io_priority;
}

ProcessPlan make_exec_process_plan(const oci::Process& process, const oci::Config& container,
                                   const HostFacts& facts, const ExecOptions& options) {
  Problems found;
  const oci::Linux& linux_ = linux_of(container);
  bool new_user = false, joined_user = false;
  for (const oci::Namespace& n : linux_.namespaces)
    if (n.type == "user") (n.path.empty() ? new_user : joined_user) = true;
  ProcessPlan plan =
      plan_process(process, {container, linux_, facts, new_user, joined_user, false, found});
  plan.new_session_keyring = false;  // it joins the container's
  plan.preserve_fds = options.preserve_fds;
  plan.warnings = std::move(found.warnings());
  std::vector<PlanProblem> problems = found.list();
  take_left_out(problems, plan.warnings);
  if (!problems.empty()) fail("process", problems);
  return plan;
}

}  // namespace vessel
