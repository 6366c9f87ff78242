#include "runtime/operations/create.hh"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>

#include "oci-spec/runtime_config.hh"
#include "runtime/cgroup/hierarchy.hh"
#include "runtime/container/monitored.hh"
#include "runtime/container/status.hh"
#include "runtime/hooks/hooks.hh"
#include "runtime/launch/init.hh"
#include "runtime/launch/namespaces.hh"
#include "runtime/launch/net_devices.hh"
#include "runtime/launch/user_program.hh"
#include "runtime/operations/foreground.hh"
#include "runtime/operations/notify_socket.hh"
#include "runtime/plan/make_plan.hh"
#include "runtime/security/notify_listener.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/number.hh"
#include "runtime/sys/process.hh"
#include "runtime/sys/socket.hh"

namespace vessel {

namespace {

// False where another process has removed it: then the rest is that one's to do, too.
bool remove_once(StateDir& dir) {
  StateDir::Lock lock(dir);
  if (!lock.still_there()) return false;
  dir.remove();
  return true;
}

class Creation {
 public:
  explicit Creation(const CreateRequest& request)
      : request_(request), pid_file_(request.pid_file) {}
  ~Creation() {
    if (!done_) undo();
  }
  Creation(const Creation&) = delete;
  Creation& operator=(const Creation&) = delete;

  Created run() {
    read_bundle();    // nothing exists until the plan is made
    make_the_plan();  //
    claim_id();       // ROOT/ID; from here on a failure undoes what was made
    make_cgroup();    // with its limits, so that they hold from the first instruction
    make_gate();
    launch();       // the clone
    serve_child();  // until it is ready; hooks, terminal and state on the way
    hand_over();    // notify fd, pidfd, pid file
    done_ = true;
    // Only now: on failure engines read the log as one JSON object.
    for (const std::string& w : plan_.warnings) log::write(log::Level::warning, w);
    return Created{std::move(*dir_),   std::move(record_),   std::move(plan_memory_),
                   std::move(cgroup_), std::move(*init_),    std::move(gate_.opening),
                   std::move(master_), std::move(pid_file_), request_.again};
  }

 private:
  void read_bundle() {
    bundle_ = absolute_path(request_.bundle);
    const std::string path = bundle_ + "/config.json";
    config_text_ = read_file(path);
    config_ = oci::read_config(config_text_, path, unread_);
    log::step("config read");
  }

  void make_the_plan() {
    if (config_.process) {
      if (uint32_t n = listen_fds()) {
        config_.process->env.push_back("LISTEN_FDS=" + std::to_string(n));
        config_.process->env.push_back("LISTEN_PID=1");
      }
      add_notify_socket(config_, request_.root + "/" + request_.id);
    }
    PlanOptions options;
    options.id = request_.id;
    options.bundle = bundle_;
    options.systemd_cgroup = request_.systemd_cgroup;
    options.no_pivot = request_.no_pivot;
    options.no_new_keyring = request_.no_new_keyring;
    options.rootless = request_.rootless;
    options.preserve_fds = request_.preserve_fds;
    facts_ = probe_host(&config_);
    plan_ = make_plan(std::move(config_), facts_, options, unread_);
    if (plan_.process.args.empty() && request_.start_at_once)
      throw Error(bundle_ + "/config.json: process: is required to run a container");
    if (plan_.seccomp) require_usable_seccomp(*plan_.seccomp, plan_.seccomp_before_capabilities);
    bool terminal = plan_.process.terminal;
    if (request_.detach && terminal && request_.console_socket.empty())
      throw Error("cannot allocate tty if vessel will detach without setting console socket");
    if ((!request_.detach || !terminal) && !request_.console_socket.empty())
      throw Error("cannot use console socket if vessel will not detach or allocate tty");
    log::step("plan made");
  }

  void claim_id() {
    dir_ = StateDir::create(request_.root, request_.id);
    record_.id = request_.id;
    record_.bundle = bundle_;
    record_.rootfs = plan_.rootfs.path;
    record_.created = log::now(true);
    record_.annotations = plan_.annotations;
    record_.owner = facts_.euid;
    record_.boot_id = boot_id();
    record_.creator = ::getpid();
    record_.pid_namespace = own_pid_namespace();
    record_.rootless = plan_.rootless;
    record_.no_new_keyring = request_.no_new_keyring;
    record_.has_process = !plan_.process.args.empty();
    record_.has_poststart = !plan_.hooks.poststart.empty();
    record_.has_poststop = !plan_.hooks.poststop.empty();
    for (int kind = 0; kind < namespace_kind_count; ++kind)
      if (plan_.namespaces.is_private(static_cast<NamespaceKind>(kind)))
        record_.private_namespaces |= clone_flag_of(static_cast<NamespaceKind>(kind));
    dir_->write_config(config_text_);
    std::string().swap(config_text_);
    make_notify_directory(dir_->fd());
    if (request_.start_at_once) listen_for_readiness(dir_->fd());
  }

  void make_cgroup() {
    if (plan_.cgroup.driver == CgroupDriver::cgroupfs && !plan_.cgroup.path.starts_with('/')) {
      // The only write before the cgroup is there: of a dead creator nothing else tells its place.
      record_.creator_cgroups = cgroups_of("self");
      dir_->write(record_);
    }
    cgroup_ =
        Cgroup::create(plan_.cgroup, plan_.id, facts_, std::exchange(record_.creator_cgroups, {}));
    record_.cgroup = cgroup_.record();
    if (plan_.intel_rdt) {
      resctrl_.emplace(Resctrl::open());
      record_.resctrl = resctrl_->claim(*plan_.intel_rdt);
    }
    // Before anything may live in it: `delete --force` after a crash must find it. A crash before
    // this leaves an empty cgroup, which it finds by the config (recover_cgroup).
    dir_->write(record_);
    if (resctrl_) resctrl_->make(*plan_.intel_rdt, *record_.resctrl);
    cgroup_.apply(plan_.cgroup.resources);
    // On v2 the device program is attached at once, so it can be loaded while the child mounts.
    if (facts_.cgroup_layout != CgroupLayout::v2) cgroup_.apply_devices(plan_.cgroup.resources);
    if (plan_.cgroup.chown_to_container) give_cgroup_away();
    for (std::string& warning : cgroup_.take_warnings())
      plan_.warnings.push_back(std::move(warning));
    entry_ = cgroup_.entry();
    log::step("cgroup made");
  }

  void give_cgroup_away() {
    // config-linux.md "Cgroup ownership": the host's id of process.user.uid.
    auto host_id = [](const std::vector<oci::IdMapping>& mappings,
                      uint32_t id) -> std::optional<uint32_t> {
      for (const oci::IdMapping& m : mappings)
        if (id >= m.container_id && id - m.container_id < m.size)
          return m.host_id + (id - m.container_id);
      return std::nullopt;
    };
    const NamespacePlan& namespaces = plan_.namespaces;
    const ProcessPlan& process = plan_.process;
    auto uid = host_id(namespaces.uid_mappings, process.uid),
         gid = host_id(namespaces.gid_mappings, process.gid);
    if (uid && gid)
      cgroup_.give_to(*uid, *gid);
    else if (!namespaces.is_private(NamespaceKind::user))
      cgroup_.give_to(process.uid, process.gid);
  }

  void make_gate() {
    if (!request_.start_at_once) {
      gate_.waiting = make_exec_fifo(dir_->fd());
    } else if (plan_.seccomp && !plan_.seccomp->listener_path.empty()) {
      gate_ = vessel::make_gate();
    }
  }

  void launch() {
    // For hooks that init runs; `created` as for those in the caller's namespaces.
    oci::State state;
    if (!plan_.hooks.create_container.empty() || !plan_.hooks.start_container.empty())
      state = spec_state(record_, Status::created);
    init_.emplace(launch_init(plan_, entry_, [&](Asker parent, bool enter_v2, bool settled) {
      gate_.opening.reset();
      InitContext context{.plan = plan_,
                          .layout = facts_.cgroup_layout,
                          .entry = entry_,
                          .cgroup_paths = record_.cgroup.paths,
                          .cgroups_complete = cgroup_.in_every_hierarchy(),
                          .state = std::move(state),
                          .gate = gate_.waiting.get(),
                          .inherited_fds = listen_fds() + request_.preserve_fds,
                          .enter_v2 = enter_v2,
                          .user_is_settled = settled};
      run_init(context, std::move(parent));
    }));
    gate_.waiting.reset();
    log::step("init cloned");
  }

  // While the child is at its mounts.
  void record_process(const Launched& init) {
    record_.pid = init.pid();
    auto stat = try_read_process_stat(init.pid());
    if (stat) record_.start_time = stat->start_time;
    // What lives in the cgroup is found by the cgroup. Else, and for hooks that ask for the state,
    // the process is on record from now on and not only from `created` on.
    const oci::Hooks& hooks = plan_.hooks;
    if (!record_.cgroup.empty() && hooks.prestart.empty() && hooks.create_runtime.empty() &&
        hooks.create_container.empty())
      return;
    StateDir::Lock lock(*dir_);
    dir_->write(record_);
  }

  void prepare_meanwhile() {
    if (facts_.cgroup_layout == CgroupLayout::v2)
      cgroup_.apply_devices(plan_.cgroup.resources, entry_.clone_fd());
    if (plan_.seccomp) {
      seccomp_ = compile_seccomp(*plan_.seccomp);
      log::step("seccomp compiled: " + std::to_string(seccomp_.code.size()) + " instructions");
    }
  }

  void run_host_hooks(const Launched& init) {
    move_net_devices(plan_, init.pid());
    // runtime.md "State": `creating` is step 2 of the lifecycle, `created` what comes after it, and
    // these hooks are steps 3 to 5. (The state command says `creating`: `start` is refused yet.)
    const HookSurroundings around{
        oci::write(spec_state(record_, Status::created)), record_.bundle, {}};
    undo_hooks_ = true;
    run_hooks("prestart", plan_.hooks.prestart, around);
    run_hooks("createRuntime", plan_.hooks.create_runtime, around);
  }

  std::string become_created(const Launched&) {
    cgroup_.init_is_in();
    // A run is written as running by start_container, after it has the answer to its execve.
    record_.phase = request_.start_at_once ? Phase::running : Phase::created;
    StateDir::Lock lock(*dir_);
    dir_->write(record_);  // throws when the container was deleted meanwhile
    return plan_.seccomp ? encode_program(seccomp_) : std::string();
  }

  void serve_child() {
    undo_hooks_ = !plan_.hooks.create_container.empty();
    Moments moments;
    moments.cloned = [this](const Launched& init) {
      // Inherited by what init clones: nothing of the container runs outside of the group.
      if (resctrl_) resctrl_->enter(*record_.resctrl, init.pid());
      record_process(init);
    };
    moments.meanwhile = [this](const Launched&) { prepare_meanwhile(); };
    moments.console = [this](Fd master) {
      if (!request_.console_socket.empty()) {
        send_fd_to_path(request_.console_socket, "/dev/ptmx", master.get());
      } else {
        take_callers_size(master.get());
        master_ = std::move(master);
      }
    };
    moments.before_switch = [this](const Launched& init) { run_host_hooks(init); };
    moments.ready = [this](const Launched& init) { return become_created(init); };
    try {
      notify_number_ = serve(*init_, &plan_, plan_.process, plan_.rootless, moments);
    } catch (ChildDied& e) {
      // Memory that ran out during set-up looks like any other SIGKILL otherwise.
      if (cgroup_.oom_kills().value_or(0) > 0)
        throw Error(std::string(e.what()) +
                    ": the kernel killed it because the container's memory limit was reached "
                    "(oom_kill)");
      throw;
    }
    log::step("init ready");
  }

  void hand_over() {
    if (notify_number_ >= 0) {
      Fd notify = take_notify_fd(init_->pidfd().get(), notify_number_);
      oci::ContainerProcessState state;
      state.version = oci::runtime_spec_version;
      state.pid = init_->pid();
      state.metadata = plan_.seccomp->listener_metadata;
      state.state = spec_state(record_, Status::creating);
      send_notify_fd(plan_.seccomp->listener_path, notify, std::move(state));
    }
    if (gate_.opening) open_gate(gate_.opening);
    if (!request_.pidfd_socket.empty())
      send_fd_to_path(request_.pidfd_socket, "pidfd", init_->pidfd().get());
    if (!request_.start_at_once) pid_file_.write(init_->pid());
  }

  void undo() noexcept {
    try {
      init_.reset();  // killed and reaped
      cgroup_.destroy();
      if (resctrl_ && record_.resctrl) resctrl_->remove(*record_.resctrl, true);
    } catch (const std::exception& e) {
      log::aside(std::string("clean up: ") + e.what());
    }
    if (!dir_) return;
    bool removed = true;
    try {
      removed = remove_once(*dir_);
    } catch (const std::exception& e) {
      log::aside(std::string("clean up: ") + e.what());
    }
    if (!undo_hooks_ || !removed) return;
    if (request_.again) record_.annotations[restart_annotation] = "true";
    run_poststop_hooks(plan_.hooks.poststop,
                       {oci::write(spec_state(record_, Status::stopped)), record_.bundle, {}},
                       log::aside);
  }

  const CreateRequest& request_;
  PidFile pid_file_;
  std::string bundle_, config_text_;
  oci::Config config_;
  std::vector<oci::Problem> unread_;  // reported with those of the plan
  HostFacts facts_;
  std::unique_ptr<Plan> plan_memory_ = std::make_unique<Plan>();
  Plan& plan_ = *plan_memory_;
  Fd master_;
  std::optional<StateDir> dir_;
  StateRecord record_;
  Cgroup cgroup_;
  std::optional<Resctrl> resctrl_;
  CgroupEntry entry_;
  Gate gate_;
  std::optional<Launched> init_;
  SeccompProgram seccomp_;
  int notify_number_ = -1;
  bool undo_hooks_ = false;  // runtime.md "Lifecycle": hooks of create failed, so poststop runs
  bool done_ = false;
};

// The group may be gone, and so may the mount: no reason to keep the container.
void remove_resctrl_group(const StateRecord& record) {
  if (!record.resctrl) return;
  try {
    Resctrl::open().remove(*record.resctrl, record.phase == Phase::creating);
  } catch (const std::exception& e) {
    log::write(log::Level::warning, std::string("remove the resctrl group: ") + e.what());
  }
}

}  // namespace

uint32_t listen_fds() {
  const char* count = std::getenv("LISTEN_FDS");
  const char* pid = std::getenv("LISTEN_PID");
  if (!count || (pid && parse_number<pid_t>(pid) != ::getpid())) return 0;
  return parse_number<uint32_t>(count, 0, 1024).value_or(0);
}

Created create_container(const CreateRequest& request) {
  return Creation(request).run();
}

void destroy_container(const StateDir& dir, const StateRecord& record, Cgroup& cgroup,
                       const Fd& init) {
  if (init && send_signal(init, SIGKILL)) {
    // A frozen v1 container dies only once it is thawed; killing by cgroup sees to that.
    if (!cgroup.none()) cgroup.kill_all(SIGKILL);
    if (!wait_gone(init, 10'000))
      throw Error("the container's init did not die within 10 s of SIGKILL");
  }
  cgroup.destroy();
  remove_resctrl_group(record);
  std::string config;
  {
    // Who removes the directory runs the hooks, so that they run once.
    StateDir::Lock lock(dir);
    if (!lock.still_there()) return;
    if (record.has_poststop) config = dir.read_config();
    const_cast<StateDir&>(dir).remove();
  }
  if (config.empty()) return;
  run_poststop_hooks(oci::read_config(config, dir.path() + "/config.json").hooks.poststop,
                     {oci::write(spec_state(record, Status::stopped)), record.bundle, {}});
}

}  // namespace vessel
