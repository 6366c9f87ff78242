#include "tests/bench/measure.hh"

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <ctime>
#include <stdexcept>

namespace bench {

namespace {

std::string read_all(const std::string& path) {
  std::string text;
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  char buffer[4096];
  for (ssize_t n; fd >= 0 && (n = ::read(fd, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(n));
  ::close(fd);
  return text;
}

void write_all(const std::string& path, const std::string& text) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0 || ::write(fd, text.data(), text.size()) < 0)
    throw std::runtime_error("cannot write " + path);
  ::close(fd);
}

double milliseconds(const timeval& t) {
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
}

unsigned user = 0;

[[noreturn]] void become(const Words& command, int output) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, 0);
  ::dup2(output >= 0 ? output : null, 1);
  if (!std::getenv("BENCH_STDERR")) ::dup2(null, 2);
  if (user != 0 && (::setgid(user) < 0 || ::setuid(user) < 0)) ::_exit(126);
  ::execv(words[0], words.data());
  ::_exit(127);
}

}  // namespace

double now_ms() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

std::string text_of(const Words& command) {
  std::string text;
  for (const std::string& word : command) text += (text.empty() ? "" : " ") + word;
  return text;
}

CpuCgroup::CpuCgroup(const std::string& name) {
  const std::string top = "/sys/fs/cgroup", v1 = top + "/cpuacct";
  v2_ = ::access((v1 + "/cgroup.procs").c_str(), F_OK) != 0;
  dir_ = (v2_ ? top : v1) + "/" + name;
  ::mkdir(dir_.c_str(), 0755);
  home_ = v2_ ? dir_ + "/driver" : dir_;
  ::mkdir(home_.c_str(), 0755);
  usage_ = dir_ + (v2_ ? "/cpu.stat" : "/cpuacct.usage");
  write_all(home_ + "/cgroup.procs", std::to_string(::getpid()));
}

CpuCgroup::~CpuCgroup() {
  try {
    write_all(dir_ + "/../cgroup.procs", std::to_string(::getpid()));
  } catch (const std::exception&) {
    return;
  }
  ::rmdir(home_.c_str());
  ::rmdir(dir_.c_str());
}

double CpuCgroup::used_ms() const {
  std::string text = read_all(usage_);
  // v1: nanoseconds; v2: "usage_usec N" is the first line.
  if (!v2_) return std::strtod(text.c_str(), nullptr) / 1e6;
  size_t space = text.find(' ');
  return space == text.npos ? 0 : std::strtod(text.c_str() + space, nullptr) / 1e3;
}

void be_user(unsigned uid) {
  user = uid;
}

pid_t start(const Words& command, int output) {
  pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid == 0) become(command, output);
  return pid;
}

int finish(pid_t pid, Cost& cost) {
  int status = 0;
  rusage usage{};
  while (::wait4(pid, &status, 0, &usage) < 0) {
  }
  cost.cpu_ms = milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime);
  cost.peak_kib = usage.ru_maxrss;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Cost run(const Words& command, const CpuCgroup& cgroup) {
  Cost cost;
  double used = cgroup.used_ms(), begin = now_ms();
  int code = finish(start(command), cost);
  cost.wall_ms = now_ms() - begin;
  cost.cgroup_ms = cgroup.used_ms() - used;
  if (code != 0)
    throw std::runtime_error("exit code " + std::to_string(code) + ": " + text_of(command));
  return cost;
}

std::string output_of(const Words& command) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) throw std::runtime_error("pipe");
  pid_t pid = start(command, ends[1]);
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(n));
  ::close(ends[0]);
  Cost cost;
  if (int code = finish(pid, cost))
    throw std::runtime_error("exit code " + std::to_string(code) + ": " + text_of(command));
  return text;
}

long count_syscalls(const Words& command) {
  pid_t first = ::fork();
  if (first == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    become(command, -1);
  }
  long stops = 0;
  const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                       PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  int status = 0;
  ::waitpid(first, &status, __WALL);
  ::ptrace(PTRACE_SETOPTIONS, first, nullptr, options);
  ::ptrace(PTRACE_SYSCALL, first, nullptr, nullptr);
  for (pid_t pid; (pid = ::waitpid(-1, &status, __WALL)) > 0;) {
    if (!WIFSTOPPED(status)) continue;
    long signal = WSTOPSIG(status);
    if (signal == (SIGTRAP | 0x80)) ++stops;
    // Events and the stop that a new process starts with are no signals of its own.
    bool own = signal == (SIGTRAP | 0x80) || signal == SIGTRAP || signal == SIGSTOP;
    ::ptrace(PTRACE_SYSCALL, pid, nullptr, own ? 0 : signal);
  }
  return stops / 2;  // one on the way in, one on the way out
}

}  // namespace bench
