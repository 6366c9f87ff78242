#include "runtime/launch/joiner.hh"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <optional>

#include "runtime/launch/limits.hh"
#include "runtime/launch/user_program.hh"
#include "runtime/security/keyring.hh"
#include "runtime/security/labels.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/log.hh"
#include "runtime/terminal/pty.hh"

namespace vessel {

namespace {

void open_terminal(const JoinContext& context, Asker& parent) {
  if (!context.process.terminal) {
    if (::setsid() < 0) throw SysError("setsid");
    return;
  }
  Fd root = open_file(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  Pty pty = open_pty(root.get());
  if (context.process.console_size)
    set_terminal_size(pty.slave.get(), *context.process.console_size);
  parent.ask(Ask::console, 0, {pty.master.get()});
  adopt_terminal(pty.slave.get(), context.process.uid);
}

[[noreturn]] void join(const JoinContext& context, Asker& parent) {
  die_with_parent();
  unblock_signals();
  // Before anything of the container can see this process: not its memory, not its descriptors,
  // not the file that it executes (CVE-2016-9962, CVE-2019-5736).
  if (::prctl(PR_SET_DUMPABLE, 0) < 0) throw SysError("PR_SET_DUMPABLE");
  if (context.process.oom_score_adj)
    set_oom_score(0, *context.process.oom_score_adj, context.rootless);
  enter_cgroup(context.entry, context.enter_v2, context.fallback);
  UserProgram program{.process = context.process};
  enter_container(context.init_pidfd, context.namespaces);
  if (context.root >= 0 && (::fchdir(context.root) < 0 || ::chroot(".") < 0))
    throw SysError("enter the container's root");
  log::step("joiner: in the container");
  std::optional<ProcFs> procfs;
  if (!context.process.apparmor_profile.empty() || !context.process.selinux_label.empty())
    procfs.emplace(ProcFs::open());
  if (!context.keyring_of.empty()) {
    const KeyLabel label(procfs ? &*procfs : nullptr, context.process.selinux_label);
    join_session_keyring(context.keyring_of, false, false);
  }
  open_terminal(context, parent);
  program.rootless = context.rootless;
  program.has_seccomp = context.has_seccomp;
  program.seccomp_before_capabilities = context.seccomp_before_capabilities;
  program.gate = context.gate;
  program.inherited_fds = context.inherited_fds;
  program.procfs = procfs ? &*procfs : nullptr;
  become_user_program(program, parent);
}

}  // namespace

bool takes_no_process(int error) {
  return error == EBUSY || error == ENOENT || error == ENODEV || error == EOPNOTSUPP;
}

void enter_cgroup(const CgroupEntry& entry, bool enter_v2, const CgroupFallback& fallback) {
  try {
    entry.enter(enter_v2);
  } catch (const SysError& e) {
    if (!enter_v2 || !takes_no_process(e.code())) throw;
    const std::optional<CgroupEntry> other = fallback();
    if (!other) throw;
    other->enter(true);
  }
}

void enter_container(int init_pidfd, uint64_t namespaces) {
  // One call for all of them (5.8), in the order that the kernel knows to be right.
  if (namespaces && ::setns(init_pidfd, static_cast<int>(namespaces)) < 0)
    throw SysError("enter the container's namespaces");
}

void run_joiner(const JoinContext& context, Asker parent) noexcept {
  try {
    join(context, parent);
  } catch (const SysError& e) {
    parent.tell_failed(e.code(), e.what());
  } catch (const std::exception& e) {
    parent.tell_failed(0, e.what());
  }
  ::_exit(1);
}

}  // namespace vessel
