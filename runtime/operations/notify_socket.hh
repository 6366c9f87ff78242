// Owns: sd_notify from inside a container: NOTIFY_SOCKET of the caller, a socket of the container's
// own in its state directory, and passing READY on. Does not own: mounting it (rootfs/). All of it
// does nothing when the caller has no NOTIFY_SOCKET.
#pragma once

#include <string>

#include "oci-spec/runtime_config.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// With NOTIFY_SOCKET in the environment: a bind mount of STATE_DIR/notify on /run/notify and the
// variable for the container.
void add_notify_socket(oci::Config& config, const std::string& state_dir);

// The directory for the socket, before the mount is made.
void make_notify_directory(int state_dir);

// The socket itself, before the program starts: by `start`, or by `run`.
void listen_for_readiness(int state_dir);

// For one who waits for more than this: readable when the container has said something; -1 where
// nobody is to be told. pass_readiness reads that and returns true once READY=1 was passed on, with
// `main_pid` as MAINPID. Throws SysError.
int readiness_socket();
bool pass_readiness(pid_t main_pid);

// Waits until the container says READY=1 or is gone (`init`), and passes it on with MAINPID.
void pass_readiness_on(pid_t init_pid, const Fd& init);

}  // namespace vessel
