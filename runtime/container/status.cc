#include "runtime/container/status.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include "oci-spec/runtime_config.hh"
#include "runtime/container/exec_fifo.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/process.hh"

namespace vessel {

const char* name_of(Status status) {
  switch (status) {
    case Status::creating:
      return "creating";
    case Status::created:
      return "created";
    case Status::running:
      return "running";
    case Status::paused:
      return "paused";
    case Status::stopped:
      break;
  }
  return "stopped";
}

Fd open_init(const StateRecord& record) {
  if (record.pid <= 0) return Fd();
  Fd pidfd = try_open_pidfd(record.pid);
  if (!pidfd) return Fd();
  auto stat = try_read_process_stat(record.pid);
  if (!stat || stat->dead() || stat->start_time != record.start_time) return Fd();
  if (record.boot_id != boot_id()) return Fd();
  return pidfd;
}

Status status_without_freezer(const StateDir& dir, const StateRecord& record, const Fd& init) {
  // A createContainer hook asks from inside, where the recorded pids mean nothing.
  bool blind = !init && record.pid > 0 && record.pid_namespace != own_pid_namespace();
  if (record.phase == Phase::creating) {
    // Its creator died: init died with it, or lives for a moment more.
    if (!init && !blind && (record.creator <= 0 || !try_open_pidfd(record.creator)))
      return Status::stopped;
    return Status::creating;
  }
  if (!init && !blind) return Status::stopped;
  if (record.phase == Phase::running) return Status::running;
  struct stat st {};
  return ::fstatat(dir.fd(), exec_fifo_name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? Status::created
                                                                            : Status::running;
}

Status status_of(const StateDir& dir, const StateRecord& record, const Fd& init) {
  Status status = status_without_freezer(dir, record, init);
  if ((status == Status::running || status == Status::created) && !record.cgroup.empty() &&
      Cgroup::open(record.cgroup).is_frozen())
    return Status::paused;
  return status;
}

Container open_container(const std::string& root, const std::string& id, bool look_at_freezer) {
  StateDir dir = StateDir::open(root, id);
  auto record = dir.try_read();
  Container c{std::move(dir), {}, Fd(), Status::creating};
  if (!record) {
    // Claimed, and nothing of it exists yet: or its creator died right then.
    c.record.id = id;
    return c;
  }
  c.record = std::move(*record);
  c.init = open_init(c.record);
  c.status = look_at_freezer ? status_of(c.dir, c.record, c.init)
                             : status_without_freezer(c.dir, c.record, c.init);
  return c;
}

oci::State spec_state(const StateRecord& record, Status status) {
  oci::State state;
  state.version = oci::runtime_spec_version;
  state.id = record.id;
  state.status = name_of(status);
  state.pid = status == Status::stopped ? 0 : record.pid;
  state.bundle = record.bundle;
  state.annotations = record.annotations;
  return state;
}

}  // namespace vessel
