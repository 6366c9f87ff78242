// Cgroup::pids, kill_all and destroy.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/state.hh"
#include "runtime/cgroup/systemd_unit.hh"
#include "runtime/cgroup/wait.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr int64_t kill_patience_ms = 10'000;

Fd pidfd_of(pid_t pid) {
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

void collect_pids(const std::string& dir, std::vector<pid_t>& pids) {
  auto text = try_read_cgroup(dir, "cgroup.procs");
  // A threaded cgroup lists threads only.
  if (!text && text.error() == EOPNOTSUPP) text = try_read_cgroup(dir, "cgroup.threads");
  if (!text) return;
  for (std::string_view line : split(*text, "\n")) {
    auto pid = parse_counter(line);
    if (pid && *pid != 0 && *pid <= INT32_MAX) pids.push_back(static_cast<pid_t>(*pid));
  }
  for (const std::string& child : child_cgroups(dir)) collect_pids(dir + "/" + child, pids);
}

// Signals those of `pids` that are still in `dir` once their pidfd is open: so a number that was
// given to another process meanwhile is never hit.
void signal_members(const std::string& dir, const std::vector<pid_t>& pids, int signal) {
  std::vector<std::pair<pid_t, Fd>> open;
  for (pid_t pid : pids)
    if (Fd fd = pidfd_of(pid)) open.emplace_back(pid, std::move(fd));
  std::vector<pid_t> now = pids_below(dir);
  for (const auto& [pid, fd] : open) {
    if (!std::ranges::binary_search(now, pid)) continue;
    if (::syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0) < 0 && errno != ESRCH)
      throw SysError("signal process " + std::to_string(pid));
  }
}

// Until every process in `dir` is gone. Processes are waited for, not polled: by v2's
// cgroup.events, else by their pidfds.
bool wait_empty(const std::string& dir, bool v2, const Deadline& deadline) {
  if (v2) {
    Fd events = try_open_cgroup(dir, "cgroup.events", O_RDONLY);
    return !events || wait_event(events.get(), "populated", 0, deadline);
  }
  for (;;) {
    std::vector<pollfd> waits;
    std::vector<Fd> fds;
    std::vector<pid_t> pids = pids_below(dir);
    if (pids.empty()) return true;
    for (pid_t pid : pids) {
      Fd fd = pidfd_of(pid);
      if (!fd) continue;
      waits.push_back({fd.get(), POLLIN, 0});
      fds.push_back(std::move(fd));
    }
    for (pollfd& wait : waits) {
      int left = deadline.left_ms();
      if (left == 0) return false;
      ::poll(&wait, 1, left);
    }
    if (deadline.passed()) return false;
  }
}

}  // namespace

std::vector<pid_t> pids_below(const std::string& dir) {
  std::vector<pid_t> pids;
  collect_pids(dir, pids);
  std::ranges::sort(pids);
  auto repeated = std::ranges::unique(pids);
  pids.erase(repeated.begin(), repeated.end());
  return pids;
}

int remove_tree(const std::string& dir) {
  if (::rmdir(dir.c_str()) == 0 || errno == ENOENT) return 0;
  if (errno != EBUSY && errno != ENOTEMPTY) return errno;
  for (const std::string& child : child_cgroups(dir)) remove_tree(dir + "/" + child);
  return ::rmdir(dir.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

std::vector<pid_t> Cgroup::pids() {
  // On hybrid hosts as runc does: a process of the container cannot leave the devices hierarchy.
  const std::string* dir = state_->v1_dir("devices");
  if (!dir) dir = state_->v2_dir();
  if (!dir && !none()) dir = &record().paths.begin()->second;
  return dir ? pids_below(*dir) : std::vector<pid_t>();
}

bool Cgroup::kill_all(int signal) {
  if (none()) return false;
  bool any = false;
  const std::string* v2 = state_->v2_dir();
  const std::string* v1_freezer = state_->v1_dir("freezer");
  if (signal == SIGKILL && v2) {
    // cgroup.kill (5.14) reaches everything below at once, also what is being forked.
    auto events = try_read_cgroup(*v2, "cgroup.events");
    any = events && keyed_value(*events, "populated") == 1u;
    bool done = any && try_write_cgroup(*v2, "cgroup.kill", "1") == 0;
    if (record().paths.size() == 1 && (done || !any)) return any;
  }
  const std::string* dir = state_->v1_dir("devices");
  if (!dir) dir = v2 ? v2 : &record().paths.begin()->second;
  std::set<pid_t> signalled;
  for (int round = 0; round < 1000; ++round) {
    std::vector<pid_t> fresh = pids_below(*dir);
    std::erase_if(fresh, [&](pid_t pid) { return signalled.contains(pid); });
    if (fresh.empty()) break;
    any = true;
    signal_members(*dir, fresh, signal);
    signalled.insert(fresh.begin(), fresh.end());
    if (signal != SIGKILL) break;
    // They fork faster than they are killed: stop them first. Thawed below.
    if (round == 3 && v1_freezer) try_write_cgroup(*v1_freezer, "freezer.state", "FROZEN");
  }
  // A v1 process must run to die.
  if (signal == SIGKILL && v1_freezer && any)
    try_write_cgroup(*v1_freezer, "freezer.state", "THAWED");
  return any;
}

void Cgroup::destroy() {
  if (none()) return;
  if (!record().unit.empty()) {
    if (!state_->unit)
      state_->unit = SystemdUnit::existing(record().unit, record().user_bus,
                                           state_->v2_dir() && record().paths.size() == 1);
    // systemd would send SIGTERM and wait 90 s for what ignores it.
    kill_all(SIGKILL);
    state_->unit->stop();
  }
  Deadline deadline(kill_patience_ms);
  std::string left;
  bool killed = false;
  for (const auto& [key, dir] : record().paths) {
    int error = remove_tree(dir);
    int64_t pause_us = 50;
    while (error == EBUSY && !deadline.passed()) {
      if (!killed || !pids_below(dir).empty()) {
        kill_all(SIGKILL);
        killed = true;
        if (!wait_empty(dir, key.empty(), deadline)) break;
      }
      error = remove_tree(dir);
      if (error != EBUSY || !pids_below(dir).empty()) continue;
      // Empty, and yet busy: the last task is on its way through exit, of which v1 tells nobody.
      timespec pause{0, pause_us * 1000};
      ::nanosleep(&pause, nullptr);
      pause_us = std::min<int64_t>(pause_us * 2, 20'000);
    }
    if (error) left += (left.empty() ? "" : "; ") + dir + ": " + error_text(error);
  }
  if (!left.empty()) throw Error("remove cgroup " + left);
}

}  // namespace vessel
