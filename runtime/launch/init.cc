#include "runtime/launch/init.hh"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/hooks/hooks.hh"
#include "runtime/launch/id_maps.hh"
#include "runtime/launch/limits.hh"
#include "runtime/launch/namespaces.hh"
#include "runtime/launch/user_program.hh"
#include "runtime/rootfs/rootfs.hh"
#include "runtime/security/keyring.hh"
#include "runtime/security/labels.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/procfs.hh"
#include "runtime/terminal/pty.hh"

namespace vessel {

namespace {

class ServicesByParent : public RootfsServices {
 public:
  explicit ServicesByParent(Asker& parent) : parent_(parent) {}
  Fd open_root() override { return fetch(Ask::root, 0); }
  Fd open_source(size_t mount) override { return fetch(Ask::source, mount); }
  Fd idmap_namespace(size_t mount) override { return fetch(Ask::idmap, mount); }
  Fd open_device(size_t device) override { return fetch(Ask::device, device); }

 private:
  Fd fetch(Ask what, size_t index) {
    Question answer = parent_.ask(what, static_cast<int32_t>(index));
    if (answer.fds.size() != 1) throw Error("the parent's answer lacks a descriptor");
    return std::move(answer.fds[0]);
  }

  Asker& parent_;
};

class Init {
 public:
  Init(const InitContext& context, Asker parent)
      : context_(context),
        plan_(context.plan),
        parent_(std::move(parent)),
        services_(parent_),
        rootfs_(plan_, context.layout, services_, context.cgroup_paths, context.cgroups_complete) {}

  // The order of a container's set-up. RUNTIME.md's and runtime.md's rules meet here.
  [[noreturn]] void run() {
    die_with_parent();
    unblock_signals();
    settle();            // mapped by the parent, root of the user namespace, not dumpable
    enter_cgroup();      // v1 by hand; then its own view of the hierarchy
    join_keyring();      //
    start_network();     // lo
    build_root();        // mounts, devices
    open_terminal();     // in the container's devpts, while the host's sockets are in reach
    ask_host_hooks();    // prestart, createRuntime: in the caller's namespaces
    run_create_hooks();  // createContainer: in the container's, before the root changes
    open_procfs();       // detached; outlives the change of root
    rootfs_.switch_root();
    log::step("init: root switched");
    write_sysctls();  // after the hooks: they may have made the interfaces
    set_names();
    rootfs_.restrict_paths();
    rootfs_.finish();
    log::step("init: root ready");
    become_user_program(user_program(), parent_);
  }

  Asker& parent() { return parent_; }

 private:
  const NamespacePlan& namespaces() const { return plan_.namespaces; }

  void settle() {
    const ProcessPlan& process = plan_.process;
    if (namespaces().new_user && !context_.user_is_settled) {
      parent_.ask(Ask::settle);
      become_namespace_root(namespaces());
    } else if (process.oom_score_adj && !context_.user_is_settled && !namespaces().joined_user) {
      set_oom_score(0, *process.oom_score_adj, plan_.rootless);
    }
    if (namespaces().joined_user) become_namespace_root(namespaces());
    // Nothing in a joined namespace may look into this process or take its descriptors.
    if (::prctl(PR_SET_DUMPABLE, 0) < 0) throw SysError("PR_SET_DUMPABLE");
    // The kernel forgets it with a change of credentials.
    if (namespaces().new_user || namespaces().joined_user) die_with_parent();
  }

  void enter_cgroup() {
    context_.entry.enter(context_.enter_v2);
    if (namespaces().unshare_cgroup_late && ::unshare(CLONE_NEWCGROUP) < 0)
      throw SysError("unshare cgroup namespace");
  }

  void join_keyring() {
    // adopt_terminal makes the session where there is a terminal.
    if (!plan_.process.terminal && ::setsid() < 0) throw SysError("setsid");
    if (!plan_.process.new_session_keyring) return;
    std::optional<ProcFs> procfs;
    if (!plan_.process.selinux_label.empty()) procfs.emplace(ProcFs::open());
    const KeyLabel label(procfs ? &*procfs : nullptr, plan_.process.selinux_label);
    join_session_keyring(plan_.id, true, namespaces().new_user);
  }

  void start_network() {
    if (namespaces().is_new(NamespaceKind::network)) raise_loopback();
  }

  void build_root() {
    rootfs_.prepare();
    rootfs_.mounts();
    rootfs_.devices();
    log::step("init: mounts and devices");
  }

  void open_terminal() {
    if (!plan_.process.terminal) return;
    Pty pty = open_pty(rootfs_.root());
    if (plan_.process.console_size) set_terminal_size(pty.slave.get(), *plan_.process.console_size);
    if (plan_.rootfs.bind_console) rootfs_.bind_console(pty.slave.get());
    parent_.ask(Ask::console, 0, {pty.master.get()});
    adopt_terminal(pty.slave.get(), plan_.process.uid);
  }

  void ask_host_hooks() {
    if (!plan_.hooks.prestart.empty() || !plan_.hooks.create_runtime.empty() ||
        !plan_.net_devices.empty())
      parent_.ask(Ask::before_switch);
  }

  void run_create_hooks() {
    if (plan_.hooks.create_container.empty()) return;
    oci::State state = context_.state;
    state.pid = ::getpid();
    run_hooks("createContainer", plan_.hooks.create_container, {oci::write(state), {}, {}});
  }

  bool needs_procfs() const {
    return !plan_.sysctl.empty() || !plan_.process.apparmor_profile.empty() ||
           !plan_.process.selinux_label.empty();
  }

  void open_procfs() {
    if (!needs_procfs()) return;
    procfs_ = &rootfs_.open_procfs();
  }

  void write_sysctls() {
    for (const auto& [key, value] : plan_.sysctl) {
      // "a.b/c" and "a/b.c" are the same in sysctl(8): the first separator decides.
      std::string path = key;
      size_t first = path.find_first_of("./");
      if (first != std::string::npos && path[first] == '.')
        for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
      try {
        procfs_->write("sys/" + path, value);
      } catch (Error& e) {
        e.prepend("linux.sysctl[\"" + key + "\"]");
        throw;
      }
    }
  }

  void set_names() {
    if (!plan_.hostname.empty() && ::sethostname(plan_.hostname.data(), plan_.hostname.size()) < 0)
      throw SysError("set hostname");
    if (!plan_.domainname.empty() &&
        ::setdomainname(plan_.domainname.data(), plan_.domainname.size()) < 0)
      throw SysError("set domainname");
  }

  UserProgram user_program() {
    UserProgram program{.process = plan_.process};
    program.setgroups_denied = namespaces().deny_setgroups;
    program.rootless = plan_.rootless;
    program.make_cwd = true;
    program.has_seccomp = plan_.seccomp.has_value();
    program.seccomp_before_capabilities = plan_.seccomp && plan_.seccomp_before_capabilities;
    program.seccomp_before_hooks = plan_.seccomp_before_hooks;
    program.gate = context_.gate;
    program.inherited_fds = context_.inherited_fds;
    program.procfs = procfs_;
    if (plan_.hooks.start_container.empty()) return program;
    program.start_hooks = &plan_.hooks.start_container;
    program.state = context_.state;
    program.state.pid = ::getpid();
    program.state.status = "created";
    return program;
  }

  const InitContext& context_;
  const Plan& plan_;
  Asker parent_;
  ServicesByParent services_;
  RootfsSetup rootfs_;
  const ProcFs* procfs_ = nullptr;
};

}  // namespace

void run_init(const InitContext& context, Asker parent) noexcept {
  Init init(context, std::move(parent));
  try {
    init.run();
  } catch (const SysError& e) {
    init.parent().tell_failed(e.code(), e.what());
  } catch (const std::exception& e) {
    init.parent().tell_failed(0, e.what());
  }
  ::_exit(1);
}

}  // namespace vessel
