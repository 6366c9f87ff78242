// Owns: the way of a seccomp notify descriptor from the container's init to its listener
// (config-linux.md "The Container Process State"). Does not own: the listener's answers.
#pragma once

#include <string>

#include "oci-spec/runtime_state.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// Takes descriptor `number` out of the process behind `pidfd` (pidfd_getfd(2)): init itself sends
// nothing, for its filter may forbid that. Throws SysError.
Fd take_notify_fd(int pidfd, int number);

// Connects to the unix socket `listener_path` and sends `state` in one message with the descriptor
// (SCM_RIGHTS). `state.fds` is filled in here. Throws SysError naming the path.
void send_notify_fd(const std::string& listener_path, const Fd& notify_fd,
                    oci::ContainerProcessState state);

}  // namespace vessel
