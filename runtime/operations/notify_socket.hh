// Owns: sd_notify from inside a container: NOTIFY_SOCKET of the caller, a socket of the container's
// own in its state directory, and passing READY on. Does not own: mounting it (rootfs/).
#pragma once

#include <string>

#include "oci-spec/runtime_config.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// With NOTIFY_SOCKET in the environment: a bind mount of STATE_DIR/notify on /run/notify and the
// variable for the container.
void add_notify_socket(oci::Config& config, const std::string& state_dir);

// The socket itself, before the mount is made; nothing without NOTIFY_SOCKET.
void make_notify_directory(int state_dir);

// Waits until the container says READY=1 or is gone, and passes it on with MAINPID. `init` ends the
// wait. Nothing without NOTIFY_SOCKET.
void pass_readiness_on(int state_dir, pid_t init_pid, const Fd& init);

}  // namespace vessel
