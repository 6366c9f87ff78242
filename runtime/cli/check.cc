#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "runtime/cgroup/hierarchy.hh"
#include "runtime/cgroup/resources.hh"
#include "runtime/cli/inspect.hh"
#include "runtime/security/seccomp.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

using Kind = PlanProblem::Kind;

// Empty when there is none.
std::string first_directory(const std::string& parent) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(parent.c_str()), closedir);
  if (!dir) return {};
  while (const dirent* entry = readdir(dir.get()))
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') return parent + "/" + entry->d_name;
  return {};
}

// What is asked of the host's files and limits, which a plan does not look at.
class HostCheck {
 public:
  HostCheck(const oci::Config& config, const HostFacts& facts, const PlanOptions& options,
            std::vector<PlanProblem>& problems)
      : config_(config), facts_(facts), options_(options), problems_(problems) {}

  void run() {
    root();
    mounts();
    hooks();
    if (config_.process) limits(*config_.process);
    if (!config_.linux_) return;
    namespaces();
    if (config_.linux_->seccomp && !config_.linux_->seccomp->default_action.empty())
      seccomp(*config_.linux_->seccomp);
    if (config_.linux_->resources) resources(*config_.linux_->resources);
    for (const auto& [name, device] : config_.linux_->net_devices)
      exists("/sys/class/net/" + name, "linux.netDevices[\"" + name + "\"]",
             "there is no interface " + name);
  }

 private:
  void host(std::string path, std::string message) {
    problems_.push_back({Kind::host, std::move(path), std::move(message)});
  }

  bool exists(const std::string& file, std::string path, std::string message) {
    struct stat st;
    if (stat(file.c_str(), &st) == 0) return true;
    if (errno != ENOENT && errno != ENOTDIR) message = file + ": " + error_text(errno);
    host(std::move(path), std::move(message));
    return false;
  }

  std::string in_bundle(const std::string& path) const {
    return path.starts_with('/') ? path : options_.bundle + "/" + path;
  }

  void root() {
    if (!config_.root || config_.root->path.empty()) return;
    const std::string path = in_bundle(config_.root->path);
    struct stat st;
    if (exists(path, "root.path", path + " does not exist") && stat(path.c_str(), &st) == 0 &&
        !S_ISDIR(st.st_mode))
      host("root.path", path + " is no directory");
  }

  void mounts() {
    const std::string filesystems = try_read_file(AT_FDCWD, "/proc/filesystems").value_or("");
    for (size_t i = 0; i < config_.mounts.size(); ++i) {
      const oci::Mount& m = config_.mounts[i];
      bool bind = m.type == "bind";
      for (const std::string& o : m.options) bind |= o == "bind" || o == "rbind";
      if (bind) {
        if (!m.source.empty())
          exists(in_bundle(m.source), at("mounts", i, "source"),
                 in_bundle(m.source) + " does not exist");
      } else if (!m.type.empty() && m.type != "none" && m.type != "cgroup" &&
                 filesystems.find("\t" + m.type + "\n") == filesystems.npos) {
        host(at("mounts", i, "type"),
             "this kernel has no file system " + m.type + " now (a module may bring it)");
      }
    }
  }

  void hooks() {
    const oci::Hooks& h = config_.hooks;
    const auto check = [&](std::string_view kind, const std::vector<oci::Hook>& list) {
      for (size_t i = 0; i < list.size(); ++i) {
        const std::string path = at("hooks." + std::string(kind), i, "path");
        if (exists(list[i].path, path, list[i].path + " does not exist") &&
            access(list[i].path.c_str(), X_OK) != 0)
          host(path, list[i].path + " cannot be executed");
      }
    };
    // Those of startContainer are looked up in the container.
    check("prestart", h.prestart);
    check("createRuntime", h.create_runtime);
    check("createContainer", h.create_container);
    check("poststart", h.poststart);
    check("poststop", h.poststop);
  }

  void limits(const oci::Process& process) {
    static constexpr std::array<std::string_view, 16> names = {
        "RLIMIT_CPU",      "RLIMIT_FSIZE", "RLIMIT_DATA",   "RLIMIT_STACK",
        "RLIMIT_CORE",     "RLIMIT_RSS",   "RLIMIT_NPROC",  "RLIMIT_NOFILE",
        "RLIMIT_MEMLOCK",  "RLIMIT_AS",    "RLIMIT_LOCKS",  "RLIMIT_SIGPENDING",
        "RLIMIT_MSGQUEUE", "RLIMIT_NICE",  "RLIMIT_RTPRIO", "RLIMIT_RTTIME"};
    const bool may_raise = facts_.euid == 0 && !facts_.in_user_namespace &&
                           (facts_.capability_bounding >> CAP_SYS_RESOURCE & 1);
    if (may_raise) return;
    for (size_t i = 0; i < process.rlimits.size(); ++i)
      for (size_t r = 0; r < names.size(); ++r) {
        rlimit now;
        if (names[r] != process.rlimits[i].type ||
            getrlimit(static_cast<__rlimit_resource>(r), &now) != 0)
          continue;
        if (process.rlimits[i].hard > now.rlim_max)
          host(at("process.rlimits", i, "hard"),
               "raising it above " + std::to_string(now.rlim_max) + " needs CAP_SYS_RESOURCE");
      }
    if (process.oom_score_adj.value_or(0) < 0)
      host("process.oomScoreAdj", "lowering it may need CAP_SYS_RESOURCE");
  }

  void namespaces() {
    const auto& list = config_.linux_->namespaces;
    for (size_t i = 0; i < list.size(); ++i) {
      if (!list[i].path.empty()) {
        exists(list[i].path, at("linux.namespaces", i, "path"), list[i].path + " does not exist");
        continue;
      }
      const std::string name = list[i].type == "network" ? "net"
                               : list[i].type == "mount" ? "mnt"
                                                         : list[i].type;
      exists("/proc/self/ns/" + name, at("linux.namespaces", i, "type"),
             "this kernel has no " + list[i].type + " namespaces");
    }
  }

  void seccomp(const oci::Seccomp& profile) {
    const bool before = config_.process && !config_.process->no_new_privileges;
    for (const oci::Problem& p : check_seccomp(profile, before)) {
      std::string path = "linux.seccomp";
      if (!p.path.empty() && !p.path.starts_with("linux.seccomp")) path += "." + p.path;
      if (p.path.starts_with("linux.seccomp")) path = p.path;
      problems_.push_back({Kind::config, std::move(path), p.message});
    }
  }

  // Part by part, as the translation stops at its first problem.
  void resources(const oci::Resources& all) {
    std::vector<oci::Resources> parts(8);
    parts[0].memory = all.memory;
    parts[1].cpu = all.cpu;
    parts[2].pids = all.pids;
    parts[3].block_io = all.block_io;
    parts[4].hugepage_limits = all.hugepage_limits;
    parts[5].network = all.network;
    parts[6].rdma = all.rdma;
    parts[7].unified = all.unified;
    const std::vector<Hierarchy> hierarchies = find_hierarchies(facts_.cgroup_layout);
    const auto mount_of = [&](std::string_view controller) -> const Hierarchy* {
      for (const Hierarchy& h : hierarchies)
        if (!h.v2() && hierarchy_has(h.key, controller)) return &h;
      return nullptr;
    };
    const auto on_v2 = [&](std::string_view controller) {
      for (const Hierarchy& h : hierarchies)
        if (h.v2())
          return (" " + try_read_file(AT_FDCWD, h.mount + "/cgroup.controllers").value_or("") + " ")
                     .find(controller) != std::string::npos;
      return false;
    };
    CgroupView view;
    view.where = [&](std::string_view controller) {
      if (mount_of(controller)) return ControllerAt::v1;
      return on_v2(controller) ? ControllerAt::v2 : ControllerAt::nowhere;
    };
    // A cgroup below the root: on the root itself some files are missing.
    const auto sample_of = [&](std::string_view controller) -> std::string {
      const Hierarchy* const h = mount_of(controller);
      return h ? first_directory(h->mount) : std::string();
    };
    view.read = [&](std::string_view controller, std::string_view file) {
      const std::string sample = sample_of(controller);
      return sample.empty() ? std::nullopt
                            : try_read_file(AT_FDCWD, sample + "/" + std::string(file));
    };
    for (const oci::Resources& part : parts) {
      try {
        for (const CgroupWrite& w : resource_writes(part, view).writes) {
          const std::string sample = w.v2 ? std::string() : sample_of(w.controller);
          if (!sample.empty() && w.rule == WriteRule::required)
            exists(sample + "/" + w.file, w.json_path, "this kernel has no " + w.file);
        }
      } catch (const Error& e) {
        const size_t colon = e.message().find(": ");
        host(e.message().substr(0, colon),
             colon == std::string::npos ? "" : e.message().substr(colon + 2));
      }
    }
  }

  const oci::Config& config_;
  const HostFacts& facts_;
  const PlanOptions& options_;
  std::vector<PlanProblem>& problems_;
};

}  // namespace

CheckReport check_bundle(const PlanOptions& options) {
  const std::string file = options.bundle + "/config.json";
  std::vector<PlanProblem> problems;
  std::vector<std::string> warnings;
  try {
    std::vector<oci::Problem> unread;
    const oci::Config config = oci::read_config(read_file(file), file, unread);
    HostFacts facts = probe_host();
    facts.resctrl = !find_resctrl(true).empty();
    Plan plan = try_plan(config, facts, options, problems);
    warnings = std::move(plan.warnings);
    if (plan.seccomp_before_hooks)
      warnings.emplace_back(
          plan.seccomp_before_capabilities
              ? "hooks.startContainer: run under linux.seccomp, as without "
                "process.noNewPrivileges it is loaded before them"
              : "hooks.startContainer: run under linux.seccomp, as its listener gets the "
                "descriptor before them");
    HostCheck(config, facts, options, problems).run();
    problems = all_problems(unread, std::move(problems));
  } catch (const oci::FormatError& e) {
    for (const oci::Problem& p : e.problems())
      problems.push_back({Kind::config, p.path, p.message});
  }
  CheckReport report;
  report.problems = problems.size();
  for (const bool of_config : {true, false})
    for (const PlanProblem& p : problems)
      if ((p.kind == Kind::config) == of_config)
        report.text += (of_config ? "config  " : "host    ") + p.text() + "\n";
  for (const std::string& w : warnings) report.text += "warning " + w + "\n";
  report.text += problems.empty()       ? "no problems\n"
                 : problems.size() == 1 ? "1 problem\n"
                                        : std::to_string(problems.size()) + " problems\n";
  return report;
}

}  // namespace vessel
