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
  if (!pidfd || !init_lives(record)) return Fd();
  return pidfd;
}

bool init_lives(const StateRecord& record) {
  if (record.pid <= 0) return false;
  auto stat = try_read_process_stat(record.pid);
  return stat && !stat->dead() && stat->start_time == record.start_time &&
         record.boot_id == boot_id();
}

Status status_without_freezer(const StateDir& dir, const StateRecord& record, bool alive) {
  // A createContainer hook asks from inside, where the recorded pids mean nothing.
  bool blind = !alive && record.pid > 0 && record.pid_namespace != own_pid_namespace();
  if (record.phase == Phase::creating) {
    // Its creator died: init died with it, or lives for a moment more.
    if (!alive && !blind && (record.creator <= 0 || !try_open_pidfd(record.creator)))
      return Status::stopped;
    return Status::creating;
  }
  if (!alive && !blind) return Status::stopped;
  if (record.phase == Phase::running) return Status::running;
  struct stat st {};
  return ::fstatat(dir.fd(), exec_fifo_name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? Status::created
                                                                            : Status::running;
}

Status status_of(const StateDir& dir, const StateRecord& record, bool alive) {
  Status status = status_without_freezer(dir, record, alive);
  if ((status == Status::running || status == Status::created) && !record.cgroup.empty() &&
      Cgroup::open(record.cgroup).is_frozen())
    return Status::paused;
  return status;
}

namespace {

// And whether there is a record. Without one: claimed, and nothing of it exists yet, or its creator
// died right then.
std::pair<Container, bool> read_container(const std::string& root, const std::string& id) {
  StateDir dir = StateDir::open(root, id);
  auto record = dir.try_read();
  Container c{std::move(dir), {}, Fd(), Status::creating};
  if (record)
    c.record = std::move(*record);
  else
    c.record.id = id;
  return {std::move(c), record.has_value()};
}

}  // namespace

Container open_container(const std::string& root, const std::string& id, bool look_at_freezer) {
  auto [c, recorded] = read_container(root, id);
  if (!recorded) return std::move(c);
  c.init = open_init(c.record);
  c.status = look_at_freezer ? status_of(c.dir, c.record, bool(c.init))
                             : status_without_freezer(c.dir, c.record, bool(c.init));
  return std::move(c);
}

Container look_at_container(const std::string& root, const std::string& id) {
  auto [c, recorded] = read_container(root, id);
  if (recorded) c.status = status_of(c.dir, c.record, init_lives(c.record));
  return std::move(c);
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
