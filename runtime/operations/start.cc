#include <fcntl.h>
#include <unistd.h>

#include <csignal>

#include "runtime/container/exec_fifo.hh"
#include "runtime/container/monitored.hh"
#include "runtime/container/status.hh"
#include "runtime/hooks/hooks.hh"
#include "runtime/operations/exec_format.hh"
#include "runtime/operations/lifecycle.hh"
#include "runtime/operations/notify_socket.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/log.hh"

namespace vessel {

namespace {

// runtime.md "Lifecycle" 9: a failing poststart hook ends the container.
void run_poststart(const StateDir& dir, const StateRecord& record, Cgroup& cgroup, const Fd& init,
                   const std::vector<oci::Hook>& hooks) {
  try {
    run_hooks("poststart", hooks,
              {oci::write(spec_state(record, Status::running)), record.bundle, {}});
  } catch (const std::exception&) {
    destroy_container(dir, record, cgroup, init);
    throw;
  }
}

// Lets the process pass the gate; whoever does it first starts the container.
Fd pass_gate(const StateDir& dir) {
  StateDir::Lock lock(dir);
  if (!lock.still_there()) throw Error("container does not exist");
  Fd gate = open_exec_fifo(dir.fd());
  if (!gate) throw Error("cannot start an already running container");
  bool waited = open_gate(gate);
  ::unlinkat(dir.fd(), exec_fifo_name, 0);
  if (!waited) throw Error("cannot start a container that has stopped");
  return gate;
}

}  // namespace

void start_container(const std::string& root, const std::string& id) {
  Container c = open_container(root, id, false);
  switch (c.status) {
    case Status::created:
      break;
    case Status::stopped:
      throw Error("cannot start a container that has stopped");
    case Status::creating:
      throw Error("cannot start a container that is still being created");
    default:
      throw Error("cannot start an already running container");
  }
  // runtime.md "Start"; the container stays as it is.
  if (!c.record.has_process)
    throw Error("cannot start a container whose config.json has no process");
  listen_for_readiness(c.dir.fd());
  Fd gate = pass_gate(c.dir);
  std::string failure = wait_for_exec(gate, c.init);
  if (!failure.empty()) {
    // runtime.md "Lifecycle" 7: as with poststart. A program that cannot be executed leaves a
    // stopped container, for `delete`.
    if (failure.starts_with(start_container_hooks)) {
      Cgroup cgroup = Cgroup::open(c.record.cgroup);
      destroy_container(c.dir, c.record, cgroup, c.init);
    }
    throw Error("unable to start container process: " + failure +
                why_not_executable(c.record.rootfs, failure));
  }
  log::step("started");
  if (c.record.has_poststart) {
    oci::Config config = oci::read_config(c.dir.read_config(), c.dir.path() + "/config.json");
    Cgroup cgroup = Cgroup::open(c.record.cgroup);
    run_poststart(c.dir, c.record, cgroup, c.init, config.hooks.poststart);
  }
  pass_readiness_on(c.record.pid, c.init);
}

void finish_start(Created& created) {
  try {
    wait_for_execve(created.init, created.gate);
    // Only of a program that runs.
    created.pid_file.write(created.init.pid());
  } catch (const std::exception& failed) {
    const std::string why = why_not_executable(created.record.rootfs, failed.what());
    created.init.let_go();
    if (created.again) created.record.annotations[restart_annotation] = "true";
    destroy_container(created.dir, created.record, created.cgroup, created.init.pidfd());
    if (!why.empty()) throw Error(failed.what() + why);
    throw;
  }
  created.init.let_go();
  log::step("started");
  if (created.record.has_poststart)
    run_poststart(created.dir, created.record, created.cgroup, created.init.pidfd(),
                  created.plan->hooks.poststart);
}

}  // namespace vessel
