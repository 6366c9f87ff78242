// Cgroup::freeze, thaw and is_frozen, on v1's freezer or on v2.
#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include <algorithm>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/state.hh"
#include "runtime/cgroup/wait.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr int64_t freeze_patience_ms = 10'000;

// v1 sends no event, and reading is what moves FREEZING on to FROZEN once every task has stopped;
// writing FROZEN again catches tasks forked meanwhile. Mostly the first read already says FROZEN.
void freeze_v1(const std::string& dir) {
  Deadline deadline(freeze_patience_ms);
  for (int64_t wait_us = 20;; wait_us = std::min<int64_t>(wait_us * 2, 10'000)) {
    write_cgroup(dir, "freezer.state", "FROZEN");
    std::string now = read_cgroup(dir, "freezer.state");
    if (trim(now) == "FROZEN") return;
    if (deadline.passed()) break;
    timespec pause{0, wait_us * 1000};
    ::nanosleep(&pause, nullptr);
  }
  try_write_cgroup(dir, "freezer.state", "THAWED");
  throw Error("freeze " + dir + ": still FREEZING after 10 s");
}

void freeze_v2(const std::string& dir) {
  Fd events = try_open_cgroup(dir, "cgroup.events", O_RDONLY);
  if (!events) throw SysError("open " + dir + "/cgroup.events");
  write_cgroup(dir, "cgroup.freeze", "1");
  if (wait_event(events.get(), "frozen", 1, Deadline(freeze_patience_ms))) return;
  try_write_cgroup(dir, "cgroup.freeze", "0");
  throw Error("freeze " + dir + ": not every process stopped within 10 s");
}

}  // namespace

void Cgroup::freeze() {
  if (const std::string* dir = state_->v1_dir("freezer"))
    freeze_v1(*dir);
  else if (const std::string* v2 = state_->v2_dir())
    freeze_v2(*v2);
  else
    throw Error("cannot freeze: the container has no cgroup with a freezer");
}

void Cgroup::thaw() {
  if (const std::string* dir = state_->v1_dir("freezer"))
    write_cgroup(*dir, "freezer.state", "THAWED");
  else if (const std::string* v2 = state_->v2_dir())
    write_cgroup(*v2, "cgroup.freeze", "0");
  else
    throw Error("cannot thaw: the container has no cgroup with a freezer");
}

bool Cgroup::is_frozen() {
  if (const std::string* dir = state_->v1_dir("freezer")) {
    auto now = try_read_cgroup(*dir, "freezer.state");
    if (!now || trim(*now) == "THAWED") return false;
    // Frozen by itself, or only because a parent is?
    auto self = try_read_cgroup(*dir, "freezer.self_freezing");
    return !self || trim(*self) != "0";
  }
  const std::string* v2 = state_->v2_dir();
  auto now = v2 ? try_read_cgroup(*v2, "cgroup.freeze") : std::unexpected(ENOENT);
  return now && trim(*now) == "1";
}

}  // namespace vessel
