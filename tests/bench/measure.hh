// Owns: running one command and what it cost: CPU as wait4 reports it, CPU of a dedicated cgroup,
// wall time, peak memory; and counting its system calls.
// Does not own: which commands, and what is printed of them (runtime_driver.cc).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace bench {

struct Cost {
  double cpu_ms = 0;     // user and system time of the command and of what it waited for
  double cgroup_ms = 0;  // all CPU time in the dedicated cgroup meanwhile: orphans and workers too
  double wall_ms = 0;
  long peak_kib = 0;
};

// A cgroup of the bench's own with CPU accounting (v1 cpuacct, or v2). The process is in it from
// the constructor to the destructor, so what it starts is too, wherever below it the runtimes put
// their containers (cgroupsPath below path()).
class CpuCgroup {
 public:
  explicit CpuCgroup(const std::string& name);
  ~CpuCgroup();
  CpuCgroup(const CpuCgroup&) = delete;
  CpuCgroup& operator=(const CpuCgroup&) = delete;
  double used_ms() const;

 private:
  std::string dir_, home_, usage_;
  bool v2_ = false;
};

using Words = std::vector<std::string>;

// Commands are started as this user from now on (0: as they are).
void be_user(unsigned uid);
// Starts a command with its output thrown away, or kept in `output`.
pid_t start(const Words& command, int output = -1);
// Waits for it. Returns the exit code; `cost` gets CPU and memory.
int finish(pid_t pid, Cost& cost);
// Both, with the wall time and the cgroup's CPU. Throws std::runtime_error unless it exits with 0.
Cost run(const Words& command, const CpuCgroup& cgroup);
// What a command prints.
std::string output_of(const Words& command);
// System calls of the command and of every process that it makes, up to their ends.
long count_syscalls(const Words& command);
double now_ms();
std::string text_of(const Words& command);

}  // namespace bench
