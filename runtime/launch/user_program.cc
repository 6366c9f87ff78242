#include "runtime/launch/user_program.hh"

#include <fcntl.h>
#include <grp.h>
#include <linux/prctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "runtime/container/exec_fifo.hh"
#include "runtime/hooks/hooks.hh"
#include "runtime/launch/limits.hh"
#include "runtime/launch/program.hh"
#include "runtime/security/capabilities.hh"
#include "runtime/security/labels.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/fd_batch.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/resolve.hh"

namespace vessel {

namespace {

// Tried before and after the change of user: either may be the one that is allowed.
bool try_enter(const std::string& cwd) {
  return ::chdir(cwd.c_str()) == 0;
}

[[noreturn]] void refuse_cwd(const std::string& cwd) {
  int error = errno;
  throw SysError("chdir to cwd (\"" + cwd + "\") set in config.json", error);
}

// CVE-2024-21626: a descriptor of the host that leaked could make /proc/self/fd/N a way out.
void check_cwd_is_inside() {
  char path[PATH_MAX];
  long length = ::syscall(SYS_getcwd, path, sizeof path);
  // The kernel writes "(unreachable)…" for a directory that is not below the root.
  if (length <= 0 || path[0] != '/')
    throw Error("current working directory is outside of the container's root");
}

void make_cwd(const std::string& cwd) {
  Fd root = open_file(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  make_directory_in_root(root.get(), cwd);
}

void change_user(const UserProgram& program) {
  const ProcessPlan& p = program.process;
  if (!p.keep_groups) {
    bool nothing_to_set = program.setgroups_denied && p.additional_gids.empty();
    if (!nothing_to_set && ::setgroups(p.additional_gids.size(), p.additional_gids.data()) < 0 &&
        !(errno == EPERM && program.rootless && p.additional_gids.empty()))
      throw SysError("setgroups");
  }
  if (::setresgid(p.gid, p.gid, p.gid) < 0) throw SysError("setresgid " + std::to_string(p.gid));
  if (::setresuid(p.uid, p.uid, p.uid) < 0) throw SysError("setresuid " + std::to_string(p.uid));
}

// Pipes and files that the caller opened as root: programs open /dev/stdout anew, as the user. As
// runc, but for devices: a terminal or /dev/null of the host is not given away.
void own_standard_streams(uint32_t uid) {
  for (int standard = 0; standard <= 2; ++standard) {
    struct stat st {};
    if (::fstat(standard, &st) < 0 || st.st_uid == uid || S_ISCHR(st.st_mode)) continue;
    // EINVAL, EPERM: not mapped in this user namespace. EROFS: on a read-only mount.
    if (::fchown(standard, uid, static_cast<gid_t>(-1)) < 0 && errno != EINVAL && errno != EPERM &&
        errno != EROFS)
      throw SysError("chown a standard stream");
  }
}

// Everything from `first` on is closed, but for two.
void close_all_from(int first, int keep_a, int keep_b) {
  int keep[] = {std::min(keep_a, keep_b), std::max(keep_a, keep_b)};
  for (int fd : keep) {
    if (fd < first) continue;
    if (fd > first) close_all_between(static_cast<unsigned>(first), static_cast<unsigned>(fd - 1));
    first = fd + 1;
  }
  close_all_between(static_cast<unsigned>(first), ~0U);
}

// After the filter is loaded: write(2) and exit_group(2), nothing else, no allocation. `gate`:
// where the other side listens when the process has passed it; -1: at the socket.
[[noreturn]] void report_and_exit(int gate, const Asker& parent, const char* what, int error) {
  char text[512];
  const char* reason = error ? ::strerrordesc_np(error) : nullptr;
  int length =
      reason ? std::snprintf(text, sizeof text, "%s: %c%s", what, reason[0] | 0x20, reason + 1)
             : std::snprintf(text, sizeof text, "%s", what);
  size_t size = std::min(sizeof text - 1, static_cast<size_t>(std::max(length, 0)));
  if (gate >= 0)
    tell_gate(gate, {text, size});
  else
    parent.tell_failed(error, {text, size});
  ::_exit(1);
}

// The first exception of a process takes system calls, and glibc aborts when a filter refuses them.
void ready_to_throw() {
  try {
    throw 0;
  } catch (int) {
  }
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  list.reserve(strings.size() + 1);
  for (const std::string& s : strings) list.push_back(const_cast<char*>(s.c_str()));
  list.push_back(nullptr);
  return list;
}

}  // namespace

void die_with_parent() {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) throw SysError("PR_SET_PDEATHSIG");
}

void unblock_signals() {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::string encode_program(const SeccompProgram& program) {
  uint32_t head[2] = {program.flags, program.notifies};
  std::string bytes(reinterpret_cast<const char*>(head), sizeof head);
  return bytes.append(reinterpret_cast<const char*>(program.code.data()),
                      program.code.size() * sizeof program.code[0]);
}

SeccompProgram decode_program(const std::string& bytes) {
  uint32_t head[2];
  if (bytes.size() < sizeof head) throw Error("the seccomp program did not arrive");
  std::memcpy(head, bytes.data(), sizeof head);
  SeccompProgram program;
  program.flags = head[0];
  program.notifies = head[1] != 0;
  program.code.resize((bytes.size() - sizeof head) / sizeof program.code[0]);
  std::memcpy(program.code.data(), bytes.data() + sizeof head,
              program.code.size() * sizeof program.code[0]);
  return program;
}

void become_user_program(const UserProgram& program, Asker& parent) {
  const ProcessPlan& process = program.process;

  // What needs the privileges that the change of user takes away.
  if (program.procfs)
    set_exec_labels(*program.procfs, process.apparmor_profile, process.selinux_label);
  apply_own_limits(process);
  if (process.capabilities) limit_bounding_set(*process.capabilities);
  if (process.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    throw SysError("set no_new_privs");
  std::vector<std::string> env = process.env;
  if (process.set_home) {
    std::erase_if(env, [](const std::string& v) { return v.starts_with("HOME="); });
    Fd root = open_file(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
    env.push_back("HOME=" + home_of(root.get(), process.uid));
  }
  bool entered = try_enter(process.cwd);
  if (!entered && errno == ENOENT && program.make_cwd) {
    make_cwd(process.cwd);
    entered = try_enter(process.cwd);
  }
  if (!entered && errno != EACCES && errno != EPERM) refuse_cwd(process.cwd);

  // The user.
  if (process.uid != 0) own_standard_streams(process.uid);
  if (process.capabilities && process.uid != 0) keep_capabilities_over_user_switch();
  change_user(program);
  // The kernel forgets it with a change of credentials.
  if (process.uid != 0 || process.gid != 0) die_with_parent();
  if (process.umask) ::umask(static_cast<mode_t>(*process.umask));
  if (!entered && !try_enter(process.cwd)) refuse_cwd(process.cwd);
  check_cwd_is_inside();
  if (process.capabilities) {
    if (program.seccomp_before_capabilities)
      regain_effective_capabilities();
    else
      set_capabilities(*process.capabilities);
  }
  const std::string path =
      process.args.empty() ? std::string() : find_program(process.args[0], env);
  std::vector<char*> argv = pointers(process.args), envp = pointers(env);

  // The last question; with its answer the container is created.
  Question answer = parent.ask(Ask::ready);
  SeccompProgram filter;
  if (program.has_seccomp) filter = decode_program(answer.text);
  if (::prctl(PR_SET_PDEATHSIG, 0) < 0) throw SysError("PR_SET_PDEATHSIG");
  if (answer.number == 0) apply_own_rlimits(process);
  const bool has_hooks = program.start_hooks && !program.start_hooks->empty();
  close_all_from(3 + static_cast<int>(program.inherited_fds), parent.fd(), program.gate);

  // The filter is the last act before waiting, for nothing of what follows should depend on what
  // it allows. Hooks come before it where they can: it is meant for the user's program. Where
  // loading it takes CAP_SYS_ADMIN they cannot: init would have to keep that while programs of the
  // image run beside it, which may trace it where they have CAP_SYS_PTRACE.
  int notify_fd = -1;
  std::optional<Fd> listener;
  const bool load_late = has_hooks && !program.seccomp_before_hooks;
  if (program.has_seccomp && !load_late) {
    if (has_hooks) ready_to_throw();
    listener = load_seccomp(filter);
    if (listener) notify_fd = listener->release();  // closed by execve, not by a call of its own
  }
  if (program.seccomp_before_capabilities && process.capabilities)
    if (const auto failure = try_set_capabilities(*process.capabilities))
      report_and_exit(-1, parent, failure->what, failure->error);
  parent.tell_loaded(notify_fd);
  if (program.gate >= 0) wait_at_gate(program.gate);

  if (has_hooks) {
    try {
      run_hooks(start_container_hooks, *program.start_hooks, {oci::write(program.state), {}, env});
      if (program.has_seccomp && load_late) load_seccomp(filter);
    } catch (const std::exception& e) {
      report_and_exit(program.gate, parent, e.what(), 0);
    }
  }
  ::execve(path.c_str(), argv.data(), envp.data());
  int error = errno;
  char what[256];
  std::snprintf(what, sizeof what, "exec %s", path.c_str());
  report_and_exit(program.gate, parent, what, error);
}

}  // namespace vessel
