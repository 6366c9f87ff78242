// Owns: making a container from a bundle up to the moment before the user's program: `create` whole
// and the first part of `run`. Does not own: starting it (start.cc), waiting for it (run.cc).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "runtime/cgroup/cgroup.hh"
#include "runtime/container/exec_fifo.hh"
#include "runtime/container/state.hh"
#include "runtime/launch/parent.hh"
#include "runtime/operations/pid_file.hh"
#include "runtime/plan/plan.hh"

namespace vessel {

struct CreateRequest {
  std::string root;  // state root
  std::string id;
  std::string bundle;  // as given; empty: the current directory
  std::string console_socket, pidfd_socket, pid_file;
  bool systemd_cgroup = false;
  std::optional<bool> rootless;
  bool no_pivot = false;
  bool no_new_keyring = false;
  uint32_t preserve_fds = 0;
  bool detach = true;          // false: run in the foreground, which keeps the terminal's master
  bool again = false;          // after an earlier run of the same container
  bool start_at_once = false;  // run: no gate, unless a seccomp listener needs one
};

// A container that waits for its start. With `start_at_once` its init goes on by itself and
// wait_for_start says how that ended. Once it is let go, it is best left to the end of the process:
// to free piece by piece what was shared with init copies nearly every page of it.
struct Created {
  StateDir dir;
  StateRecord record;
  std::unique_ptr<Plan> plan;
  Cgroup cgroup;
  Launched init;
  Fd gate;           // of a run that waited for its seccomp listener
  Fd master;         // terminal of a foreground run
  PidFile pid_file;  // of a run: still to be written, once its program is executed
  bool again = false;
};

// Throws with everything undone: no process, cgroup or state stays behind.
Created create_container(const CreateRequest& request);

// LISTEN_FDS of the caller if they are meant for this process; 0 otherwise.
uint32_t listen_fds();

// Stops and removes everything of a container; then its poststop hooks run, whose failures are
// logged. For delete, for the end of run and for a failed start.
void destroy_container(const StateDir& dir, const StateRecord& record, Cgroup& cgroup,
                       const Fd& init);

}  // namespace vessel
