#include <csignal>

#include "runtime/container/monitored.hh"
#include "runtime/container/status.hh"
#include "runtime/operations/lifecycle.hh"
#include "runtime/operations/living.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/process.hh"

namespace vessel {

namespace {

// image-spec conversion.md "Annotation Fields".
constexpr const char* stop_signal_annotation = "org.opencontainers.image.stopSignal";
constexpr int kill_wait = 10'000, monitor_wait = 10'000;  // milliseconds

int stop_signal(const StateRecord& record) {
  auto at = record.annotations.find(stop_signal_annotation);
  return at == record.annotations.end() || at->second.empty() ? SIGTERM : parse_signal(at->second);
}

Fd monitor_of(const Container& c) {
  auto record = try_read_monitored(c.dir);
  return record ? open_monitor(*record) : Fd();
}

}  // namespace

void stop_container(const std::string& root, const std::string& id, int64_t seconds) {
  Container c = open_container(root, id);
  if (c.status == Status::stopped) return;
  if (!c.init) throw Error("container is still being created");
  Fd monitor = monitor_of(c);
  // Of a process that waits for its start there is nothing to ask politely.
  int signal = c.status == Status::created ? SIGKILL : stop_signal(c.record);
  send_signal(c.init, signal);
  // Frozen processes take their signals when they are thawed.
  if (c.status == Status::paused) Cgroup::open(c.record.cgroup).thaw();
  if (!wait_gone(c.init, static_cast<int>(seconds * 1000))) {
    kill_container(root, id, SIGKILL, false);
    if (!wait_gone(c.init, kill_wait))
      throw Error("the container's init did not die within 10 s of SIGKILL");
  }
  if (monitor) wait_gone(monitor, monitor_wait);
}

int wait_for_container(const std::string& root, const std::string& id) {
  Container c = open_container(root, id, false);
  Fd monitor = monitor_of(c);
  Fd file = try_open_exit_file(c.dir);
  if (c.init) wait_gone(c.init, -1);
  if (monitor) wait_gone(monitor, -1);
  auto record = try_read_exit_record(file);
  if (!record)
    throw Error("container " + id +
                " has ended, but nobody recorded its exit code: that is known only of containers "
                "started with `run --detach --log-output` whose monitor lived");
  return record->code;
}

}  // namespace vessel
