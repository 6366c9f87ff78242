#include "runtime/operations/foreground.hh"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <optional>

#include "runtime/sys/error.hh"
#include "runtime/sys/process.hh"
#include "runtime/terminal/proxy.hh"

namespace vessel {

void take_callers_size(int terminal) {
  winsize size{};
  for (int fd : {STDERR_FILENO, STDOUT_FILENO, STDIN_FILENO}) {
    if (::ioctl(fd, TIOCGWINSZ, &size) < 0) continue;
    ::ioctl(terminal, TIOCSWINSZ, &size);
    return;
  }
}

Foreground::Foreground(bool subreaper) {
  sigset_t all;
  sigfillset(&all);
  // Those that say this program itself is broken stay what they are.
  for (int own : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&all, own);
  ::sigprocmask(SIG_BLOCK, &all, &saved_);
  signals_.reset(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) throw SysError("signalfd");
  if (subreaper && ::prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) throw SysError("become a subreaper");
}

Foreground::~Foreground() {
  ::sigprocmask(SIG_SETMASK, &saved_, nullptr);
}

int Foreground::wait(pid_t pid, const Fd& pidfd, Fd master, int other,
                     const std::function<bool()>& on_other) {
  std::unique_ptr<TerminalProxy> proxy;  // its buffers are large, and most have no terminal
  if (master) {
    proxy = std::make_unique<TerminalProxy>(std::move(master));
    proxy->resize();
  }
  std::optional<int> code;
  auto reap_all = [&] {
    for (;;) {
      int status = 0;
      pid_t gone = ::waitpid(-1, &status, WNOHANG | __WALL);
      if (gone <= 0) return;
      if (gone == pid) code = exit_code_of(status);
    }
  };
  reap_all();  // it may have gone before the signals were looked at
  while (!code) {
    pollfd entries[5] = {{signals_.get(), POLLIN, 0}};
    nfds_t count = 1;
    TerminalProxy::PollEntry wanted[3];
    int more = proxy ? proxy->poll_entries(wanted) : 0;
    for (int i = 0; i < more; ++i) entries[count++] = {wanted[i].fd, wanted[i].events, 0};
    const nfds_t of_proxy = count;
    if (other >= 0) entries[count++] = {other, POLLIN, 0};
    if (::poll(entries, count, -1) < 0) {
      if (errno == EINTR) continue;
      throw SysError("poll");
    }
    if (count > of_proxy && entries[of_proxy].revents && on_other()) other = -1;
    for (nfds_t i = 1; i < of_proxy; ++i)
      if (entries[i].revents) proxy->on_ready(entries[i].fd, entries[i].revents);
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      int signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGCHLD)
        reap_all();
      else if (signal == SIGWINCH && proxy)
        proxy->resize();
      else if (signal != SIGURG && signal != SIGPIPE && !code)
        send_signal(pidfd, signal);
    }
  }
  if (proxy) proxy->drain();
  return *code;
}

}  // namespace vessel
