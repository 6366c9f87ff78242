#include "runtime/security/notify_listener.hh"

#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/sys/error.hh"
#include "runtime/sys/socket.hh"

namespace vessel {

Fd take_notify_fd(int pidfd, int number) {
  // The copy is close-on-exec (pidfd_getfd(2), since 5.6).
  Fd fd(static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, number, 0)));
  if (!fd) throw SysError("take the seccomp notify descriptor from init");
  return fd;
}

void send_notify_fd(const std::string& listener_path, const Fd& notify_fd,
                    oci::ContainerProcessState state) {
  // config-linux.md: the name of the one descriptor sent along; one state for each connection.
  state.fds = {"seccompFd"};
  send_fd_to_path(listener_path, oci::write(state), notify_fd.get());
}

}  // namespace vessel
