#include "builder/steps/bare_process.hh"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "builder/steps/isolation_user_namespace.hh"
#include "builder/steps/ownership_filter.hh"
#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"
#include "builder/sys/resolve.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln {

namespace {

// Kills and reaps every descendant: this process is their reaper.
void end_descendants() {
  const std::string path = "/proc/self/task/" + std::to_string(getpid()) + "/children";
  while (true) {
    const std::string text = try_read_file_at(AT_FDCWD, path, size_t{1} << 20).value_or("");
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(' ', at), text.size());
      if (const auto pid = parse_number<pid_t>(std::string_view(text).substr(at, end - at)))
        kill(*pid, SIGKILL);
      at = end + 1;
    }
    // All that there were have been killed: one of them ends now, and its own children become ours.
    if (waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
  }
}

void lone_network() {
  if (unshare(CLONE_NEWNET) != 0)
    throw SysError("--network=none: a network namespace of its own (CAP_SYS_ADMIN)");
  const Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (!any || ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) throw SysError("set lo up");
}

void set_rlimits(const std::vector<oci::Rlimit>& limits) {
  static constexpr std::pair<std::string_view, int> names[] = {
      {"RLIMIT_AS", RLIMIT_AS},
      {"RLIMIT_CORE", RLIMIT_CORE},
      {"RLIMIT_CPU", RLIMIT_CPU},
      {"RLIMIT_DATA", RLIMIT_DATA},
      {"RLIMIT_FSIZE", RLIMIT_FSIZE},
      {"RLIMIT_LOCKS", RLIMIT_LOCKS},
      {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
      {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
      {"RLIMIT_NICE", RLIMIT_NICE},
      {"RLIMIT_NOFILE", RLIMIT_NOFILE},
      {"RLIMIT_NPROC", RLIMIT_NPROC},
      {"RLIMIT_RSS", RLIMIT_RSS},
      {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
      {"RLIMIT_RTTIME", RLIMIT_RTTIME},
      {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
      {"RLIMIT_STACK", RLIMIT_STACK}};
  for (const oci::Rlimit& limit : limits) {
    const auto* known = std::ranges::find(names, limit.type, [](const auto& n) { return n.first; });
    const rlimit value{limit.soft, limit.hard};
    if (known == std::end(names) ||
        setrlimit(static_cast<__rlimit_resource>(known->second), &value) != 0)
      throw SysError("set " + limit.type);
  }
}

void redirect(const BareProcess& what) {
  if (what.out < 0) return;
  const Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (null && dup2(null.get(), STDIN_FILENO) < 0) throw SysError("dup2");
  if (!null) close(STDIN_FILENO);
  if (dup2(what.out, STDOUT_FILENO) < 0 || dup2(what.err, STDERR_FILENO) < 0)
    throw SysError("dup2");
}

// In the child: never returns. What fails is thrown, and reported by the parent.
void become(const BareProcess& what) {
  const oci::Process& process = *what.config.process;
  setsid();
  for (const oci::Namespace& n : what.config.linux_->namespaces)
    if (n.type == "network") lone_network();
  redirect(what);
  set_rlimits(process.rlimits);
  // Before the changed root, which has no /proc to reach the listener by, and the capabilities go.
  const auto& seccomp = what.config.linux_->seccomp;
  const bool listened = seccomp && !seccomp->listener_path.empty();
  // Where it would cost no_new_privs, set-uid programs count for more: another user than root is
  // refused owners and devices anyway, however many ids there are.
  if (listened && (process.user.uid == 0 || has_capability(CAP_SYS_ADMIN)))
    report_ownership_calls(seccomp->listener_path, mapped_ids());
  if (what.root >= 0 && (fchdir(what.root) != 0 || chroot(".") != 0))
    throw SysError("chroot (CAP_SYS_CHROOT)");
  umask(0022);
  if (chdir(process.cwd.c_str()) != 0) throw SysError("change to " + process.cwd);
  // With a single id setgroups(2) is denied for good: fit_to_user_namespace().
  const bool keep_groups = what.config.annotations.contains(keep_groups_annotation);
  if (!keep_groups &&
      setgroups(process.user.additional_gids.size(), process.user.additional_gids.data()) != 0)
    throw SysError("set groups (CAP_SETGID)");
  if (setresgid(process.user.gid, process.user.gid, process.user.gid) != 0)
    throw SysError("set group");
  if (setresuid(process.user.uid, process.user.uid, process.user.uid) != 0)
    throw SysError("set user");
  std::vector<char*> argv, env;
  for (const std::string& w : process.args) argv.push_back(const_cast<char*>(w.c_str()));
  for (const std::string& e : process.env) env.push_back(const_cast<char*>(e.c_str()));
  argv.push_back(nullptr);
  env.push_back(nullptr);
  clearenv();
  for (const std::string& e : process.env)
    if (e.starts_with("PATH=")) setenv("PATH", e.c_str() + 5, 1);
  for (const int s : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGQUIT}) signal(s, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execvpe(argv[0], argv.data(), env.data());
  throw SysError("exec " + process.args[0]);
}

// Until the child has ended or something asks for its end. Its wait status.
int wait_for_end(pid_t child, int signals, int stop) {
  std::array<pollfd, 2> polled = {{{signals, POLLIN, 0}, {stop, POLLIN, 0}}};
  while (true) {
    if (poll(polled.data(), polled.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw SysError("poll");
    }
    if (polled[1].revents != 0) return SIGKILL;
    signalfd_siginfo info{};
    if (read(signals, &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo != SIGCHLD) return static_cast<int>(info.ssi_signo);
    // Orphans of the command end here, too.
    pid_t ended = 0;
    int how = 0, status = 0;
    bool over = false;
    while ((ended = waitpid(-1, &how, WNOHANG)) > 0)
      if (ended == child) status = how, over = true;
    if (over) return status;
  }
}

}  // namespace

int run_bare_process(const BareProcess& process) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t waited;
  sigemptyset(&waited);
  for (const int s : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&waited, s);
  sigprocmask(SIG_BLOCK, &waited, nullptr);
  const Fd signals(signalfd(-1, &waited, SFD_CLOEXEC));
  if (!signals) throw SysError("signalfd");
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw SysError("pipe2");
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const pid_t child = fork();
  if (child < 0) throw SysError("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      become(process);
    } catch (const std::exception& error) {
      const std::string_view text = error.what();
      if (write(to.get(), text.data(), text.size()) < 0) _exit(126);
    }
    _exit(127);
  }
  to.reset();
  const std::string failure = read_fd(from.get(), 65536, "child");
  if (failure.empty() && !process.pid_file.empty()) {
    const Fd file(open(process.pid_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file) throw SysError("create " + process.pid_file);
    write_all(file.get(), std::to_string(child));
  }
  const int status = wait_for_end(child, signals.get(), process.stop);
  end_descendants();
  if (!failure.empty()) throw Error(failure);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void make_working_directory(int root, const std::string& path) {
  for (size_t at = 0; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (try_open_in_root(root, part, O_PATH | O_DIRECTORY)) continue;
    const InRootName made = open_parent_in_root(root, part);
    make_dir_at(made.parent.get(), made.name, 0755);
  }
}

}  // namespace kiln
