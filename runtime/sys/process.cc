#include "runtime/sys/process.hh"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <string_view>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/number.hh"

namespace vessel {

namespace {

// clone(2), for filters around vessel that hide clone3 because they cannot look at its flags (every
// container engine's default answers ENOSYS). Two things it cannot do: a cgroup, for which the
// caller has its own way, and time namespaces, whose bit means something else here.
long classic_clone(const CloneRequest& request, int* pidfd) {
  const int error = errno;
  if (request.cgroup_fd >= 0 || (request.flags & CSIGNAL)) {
    errno = error;
    return -1;
  }
  unsigned long flags = request.flags;
  if (request.want_pidfd) flags |= CLONE_PIDFD;
  if (!(request.flags & CLONE_PARENT)) flags |= SIGCHLD;
#if defined(__s390x__)
  return ::syscall(SYS_clone, 0UL, flags, pidfd, 0UL, 0UL);
#else
  return ::syscall(SYS_clone, flags, 0UL, pidfd, 0UL, 0UL);
#endif
}

}  // namespace

std::optional<Clone> try_clone(const CloneRequest& request) {
  int pidfd = -1;
  clone_args args{};
  args.flags = request.flags;
  if (request.want_pidfd) {
    args.flags |= CLONE_PIDFD;
    args.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  }
  // With CLONE_PARENT the kernel takes over the signal of the calling process's own exit.
  args.exit_signal = (request.flags & CLONE_PARENT) ? 0 : SIGCHLD;
  if (request.cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<__u64>(request.cgroup_fd);
  }
  long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0 && (errno == ENOSYS || errno == EPERM)) pid = classic_clone(request, &pidfd);
  if (pid < 0) return std::nullopt;
  Clone result;
  result.pid = static_cast<pid_t>(pid);
  if (pid > 0 && request.want_pidfd) result.pidfd.reset(pidfd);
  return result;
}

Clone clone_process(const CloneRequest& request) {
  auto result = try_clone(request);
  if (!result) throw SysError("clone3");
  return std::move(*result);
}

Fd try_open_pidfd(pid_t pid) {
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));  // always close-on-exec
}

Fd open_pidfd(pid_t pid) {
  Fd fd = try_open_pidfd(pid);
  if (!fd) throw SysError("pidfd_open " + std::to_string(pid));
  return fd;
}

bool send_signal(const Fd& pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  throw SysError("pidfd_send_signal");
}

bool wait_gone(const Fd& pidfd, int timeout_ms) {
  timespec start{};
  ::clock_gettime(CLOCK_MONOTONIC, &start);
  for (int left = timeout_ms;;) {
    pollfd p{pidfd.get(), POLLIN, 0};
    int ready = ::poll(&p, 1, left);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) throw SysError("poll pidfd");
    if (timeout_ms < 0) continue;
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t spent = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
    if (spent >= timeout_ms) return false;
    left = static_cast<int>(timeout_ms - spent);
  }
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, __WALL) < 0)
    if (errno != EINTR) throw SysError("wait for process " + std::to_string(pid));
  return status;
}

int exit_code_of(int wait_status) {
  if (WIFSIGNALED(wait_status)) return 128 + WTERMSIG(wait_status);
  return WEXITSTATUS(wait_status);
}

std::optional<ProcessStat> parse_process_stat(const std::string& text) {
  // "PID (comm) S ppid …": comm may hold anything, spaces and parentheses too, so the last ')'.
  size_t close = text.rfind(')');
  if (close == std::string::npos || close + 2 >= text.size()) return std::nullopt;
  ProcessStat stat;
  stat.state = text[close + 2];
  std::string_view rest = std::string_view(text).substr(close + 2);
  // proc(5): starttime is field 22, the state is field 3.
  for (int field = 3; field < 22; ++field) {
    size_t space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  auto value = parse_number<uint64_t>(rest.substr(0, rest.find_first_of(" \n")));
  if (!value) return std::nullopt;
  stat.start_time = *value;
  return stat;
}

std::optional<ProcessStat> try_read_process_stat(pid_t pid) {
  Fd fd = try_open_file(AT_FDCWD, "/proc/" + std::to_string(pid) + "/stat", O_RDONLY);
  if (!fd) return std::nullopt;
  char buffer[1024];
  ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
  if (got <= 0) return std::nullopt;  // ESRCH: it went away in between
  return parse_process_stat(std::string(buffer, static_cast<size_t>(got)));
}

}  // namespace vessel
