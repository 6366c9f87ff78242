// Owns: making processes (clone3) and acting on them through pidfds.
// Does not own: what the new process does (launch/, hooks/), or cgroups.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/sys/fd.hh"

namespace vessel {

struct CloneRequest {
  uint64_t flags = 0;      // CLONE_NEW*, CLONE_PARENT
  int cgroup_fd = -1;      // v2 directory for CLONE_INTO_CGROUP; -1: the caller's
  bool want_pidfd = true;  // CLONE_PIDFD
};

struct Clone {
  pid_t pid = 0;  // 0 in the child
  Fd pidfd;       // in the parent only
};

// clone3(2) in the manner of fork: the child goes on with a copy of the memory. No atfork handler
// runs and glibc's cached thread id is stale in the child, so it must not raise(3) or make threads.
// errno is kept: callers decide which refusals have another way.
std::optional<Clone> try_clone(const CloneRequest& request);

// Throws SysError "clone3".
Clone clone_process(const CloneRequest& request);

Fd open_pidfd(pid_t pid);      // throws SysError
Fd try_open_pidfd(pid_t pid);  // empty, with errno

// False when there is no such process any more (ESRCH). Throws SysError otherwise.
bool send_signal(const Fd& pidfd, int signal);

// True once the process is gone (also as a zombie). `timeout_ms` < 0 waits for ever.
bool wait_gone(const Fd& pidfd, int timeout_ms);

// Reaps a child of ours and gives its wait status as wait(2) does. Throws SysError.
int reap(pid_t pid);

// The exit code that a shell would give: the code, or 128 + the signal.
int exit_code_of(int wait_status);

// Of /proc/PID/stat: state letter and start time in clock ticks after boot. nullopt when gone.
struct ProcessStat {
  char state = '?';
  uint64_t start_time = 0;
  bool dead() const { return state == 'Z' || state == 'X' || state == 'x'; }
};
std::optional<ProcessStat> try_read_process_stat(pid_t pid);
// The same from the text of the file, for tests.
std::optional<ProcessStat> parse_process_stat(const std::string& text);

}  // namespace vessel
