#include "runtime/operations/exec.hh"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <optional>

#include "runtime/container/exec_fifo.hh"
#include "runtime/container/status.hh"
#include "runtime/host/facts.hh"
#include "runtime/launch/limits.hh"
#include "runtime/launch/parent.hh"
#include "runtime/launch/user_program.hh"
#include "runtime/operations/create.hh"
#include "runtime/operations/exec_format.hh"
#include "runtime/operations/foreground.hh"
#include "runtime/operations/pid_file.hh"
#include "runtime/plan/make_plan.hh"
#include "runtime/security/notify_listener.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/socket.hh"

namespace vessel {

namespace {

Container open_for_exec(const ExecRequest& request) {
  Container c = open_container(request.root, request.id, !request.ignore_paused);
  if (c.status == Status::stopped) throw Error("cannot exec in a stopped container");
  if (c.status == Status::paused)
    throw Error("cannot exec in a paused container (use --ignore-paused to override)");
  // From a hook of create, or beside it: the root of its mount namespace is still the host's.
  if (!c.init || c.record.phase == Phase::creating)
    throw Error("cannot exec in a container that is still being created");
  return c;
}

void check_terminal(const ExecRequest& request, bool terminal) {
  if (request.detach && terminal && request.console_socket.empty())
    throw Error("cannot allocate tty if vessel will detach without setting console socket");
  if ((!request.detach || !terminal) && !request.console_socket.empty())
    throw Error("cannot use console socket if vessel will not detach or allocate tty");
}

bool sends_to_listener(const oci::Seccomp& seccomp) {
  if (seccomp.default_action == "SCMP_ACT_NOTIFY") return true;
  for (const oci::SeccompSyscall& s : seccomp.syscalls)
    if (s.action == "SCMP_ACT_NOTIFY") return true;
  return false;
}

// Everything that runs before the user's program, and the process on its way.
class Exec {
 public:
  Exec(const ExecRequest& request, Container container)
      : request_(request), pid_file_(request.pid_file), container_(std::move(container)) {}

  int run() {
    make_the_plan();
    prepare();
    std::optional<Foreground> foreground;
    if (!request_.detach) foreground.emplace(false);
    Launched launched = launch();
    int notify = serve_child(launched);
    if (notify >= 0) send_notify(launched, notify);
    if (gate_.opening) open_gate(gate_.opening);
    see_execve(launched);
    log::step("executed");
    hand_over(launched);
    launched.let_go();
    for (const std::string& w : plan_.warnings) log::write(log::Level::warning, w);
    if (!foreground) return 0;
    return foreground->wait(launched.pid(), launched.pidfd(), std::move(master_));
  }

 private:
  void see_execve(Launched& launched) {
    try {
      wait_for_execve(launched, gate_.opening);
    } catch (const std::exception& failed) {
      const std::string why = why_not_executable(container_.record.rootfs, failed.what());
      if (!why.empty()) throw Error(failed.what() + why);
      throw;
    }
  }

  void make_the_plan() {
    const std::string file = container_.dir.path() + "/config.json";
    config_ = oci::read_config(container_.dir.read_config(), file);
    facts_ = probe_host();
    oci::Process process = request_.process(config_);
    if (process.args.empty()) throw Error("process args cannot be empty");
    if (uint32_t n = listen_fds()) {
      process.env.push_back("LISTEN_FDS=" + std::to_string(n));
      process.env.push_back("LISTEN_PID=1");
    }
    ExecOptions options;
    options.preserve_fds = request_.preserve_fds;
    plan_ = make_exec_process_plan(process, config_, facts_, options);
    check_terminal(request_, plan_.terminal);
    if (config_.linux_ && config_.linux_->seccomp) seccomp_ = &*config_.linux_->seccomp;
    if (seccomp_) require_usable_seccomp(*seccomp_, !plan_.no_new_privileges);
  }

  void prepare() {
    cgroup_ = Cgroup::open(container_.record.cgroup);
    try {
      entry_ = cgroup_.entry(request_.cgroups);
    } catch (const SysError& e) {
      // The container was moved and its cgroup taken away: as when the clone is refused.
      if (e.code() != ENOENT || !request_.cgroups.empty()) throw;
      entry_ = cgroup_.entry_of(container_.record.pid);
    }
    if (seccomp_ && sends_to_listener(*seccomp_)) gate_ = make_gate();
    // Without a mount namespace the root is not found by joining one.
    if (!(container_.record.private_namespaces & CLONE_NEWNS))
      root_ = open_file(AT_FDCWD, "/proc/" + std::to_string(container_.record.pid) + "/root",
                        O_PATH | O_DIRECTORY);
  }

  Launched launch() {
    // config.md "execCPUAffinity": `initial` holds before the process comes into the cgroup, whose
    // cpuset need not have these CPUs.
    const AffinityOfLaunch affinity(plan_);
    ExecLaunch launch{.init_pidfd = container_.init.get(),
                      .namespaces = container_.record.private_namespaces,
                      .by_helper = facts_.euid != 0 || facts_.in_user_namespace};
    const CgroupFallback fallback = [this]() -> std::optional<CgroupEntry> {
      if (!request_.cgroups.empty()) return std::nullopt;
      return cgroup_.entry_of(container_.record.pid);
    };
    Launched launched = launch_joiner(
        launch, entry_, fallback,
        [&](Asker parent, const CgroupEntry& entry, bool enter_v2, uint64_t namespaces) {
          gate_.opening.reset();
          JoinContext context{
              .process = plan_,
              .entry = entry,
              .fallback = fallback,
              .init_pidfd = container_.init.get(),
              .keyring_of = container_.record.no_new_keyring ? std::string() : container_.record.id,
              .root = root_.get(),
              .namespaces = namespaces,
              .has_seccomp = seccomp_ != nullptr,
              .seccomp_before_capabilities = seccomp_ && !plan_.no_new_privileges,
              .rootless = container_.record.rootless,
              .enter_v2 = enter_v2,
              .gate = gate_.waiting.get(),
              .inherited_fds = listen_fds() + request_.preserve_fds};
          run_joiner(context, std::move(parent));
        });
    gate_.waiting.reset();
    log::step("joiner cloned");
    return launched;
  }

  int serve_child(Launched& launched) {
    SeccompProgram program;
    Moments moments;
    if (container_.record.resctrl)
      moments.cloned = [&](const Launched& joiner) { enter_resctrl_group(joiner.pid()); };
    moments.meanwhile = [&](const Launched&) {
      if (seccomp_) program = compile_seccomp(*seccomp_);
    };
    moments.console = [&](Fd master) {
      if (!request_.console_socket.empty()) {
        send_fd_to_path(request_.console_socket, "/dev/ptmx", master.get());
      } else {
        take_callers_size(master.get());
        master_ = std::move(master);
      }
    };
    moments.ready = [&](const Launched&) {
      return seccomp_ ? encode_program(program) : std::string();
    };
    return serve(launched, nullptr, plan_, container_.record.rootless, moments);
  }

  // As runc: a group that was taken away meanwhile does not lock the container.
  void enter_resctrl_group(pid_t pid) {
    try {
      Resctrl::open().enter(*container_.record.resctrl, pid);
    } catch (const std::exception& e) {
      plan_.warnings.push_back(std::string("enter the resctrl group: ") + e.what());
    }
  }

  void send_notify(const Launched& launched, int number) {
    Fd notify = take_notify_fd(launched.pidfd().get(), number);
    oci::ContainerProcessState state;
    state.version = oci::runtime_spec_version;
    state.pid = launched.pid();
    state.metadata = seccomp_->listener_metadata;
    state.state = spec_state(container_.record, container_.status);
    send_notify_fd(seccomp_->listener_path, notify, std::move(state));
  }

  void hand_over(const Launched& launched) {
    if (!request_.pidfd_socket.empty())
      send_fd_to_path(request_.pidfd_socket, "pidfd", launched.pidfd().get());
    pid_file_.write(launched.pid());
  }

  const ExecRequest& request_;
  PidFile pid_file_;
  Container container_;
  oci::Config config_;
  HostFacts facts_;
  ProcessPlan plan_;
  const oci::Seccomp* seccomp_ = nullptr;
  Cgroup cgroup_;
  CgroupEntry entry_;
  Gate gate_;
  Fd root_, master_;
};

}  // namespace

int exec_in_container(const ExecRequest& request) {
  return Exec(request, open_for_exec(request)).run();
}

}  // namespace vessel
