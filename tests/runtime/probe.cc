// Owns: reading, from inside a container, what no program of busybox shows: scheduling, affinity,
// memory policy, personality, keyring, and what single system calls answer.
// Does not own: judging it (props-*.t do).
#include <linux/keyctl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

void show_scheduler() {
  SchedAttr a{};
  if (::syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) < 0) std::perror("sched_getattr");
  std::printf("policy=%u flags=%llu nice=%d priority=%u runtime=%llu deadline=%llu period=%llu\n",
              a.policy, static_cast<unsigned long long>(a.flags), a.nice, a.priority,
              static_cast<unsigned long long>(a.runtime),
              static_cast<unsigned long long>(a.deadline),
              static_cast<unsigned long long>(a.period));
}

void show_io_priority() {
  long v = ::syscall(SYS_ioprio_get, 1, 0);
  std::printf("class=%ld level=%ld\n", v >> 13, v & 0x1fff);
}

void show_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  for (size_t i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) std::printf("%zu ", i);
  std::printf("\n");
}

void show_memory_policy() {
  int mode = -1;
  unsigned long nodes[16] = {};
  if (::syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, nullptr, 0UL) < 0) {
    std::printf("errno=%d\n", errno);
    return;
  }
  std::printf("mode=%d flags=%d nodes=%lx\n", mode & 0xff, mode >> 8, nodes[0]);
}

void show_session_keyring() {
  char text[256] = "";
  long n = ::syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof text);
  std::printf("%s\n", n < 0 ? "none" : text);
}

void trapped(int, siginfo_t* info, void*) {
  std::printf("trapped syscall=%d errno=%d\n", info->si_syscall, info->si_errno);
  std::fflush(stdout);
  ::_exit(0);
}

// NR [ARG…]: RESULT and errno; strings that are no number are passed as such.
void call(int argc, char** argv) {
  long a[7] = {};
  for (int i = 0; i < argc && i < 7; ++i) {
    char* end;
    a[i] = static_cast<long>(std::strtoull(argv[i], &end, 0));
    if (*end) a[i] = reinterpret_cast<long>(argv[i]);
  }
  errno = 0;
  long r = ::syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
  std::printf("%ld %d\n", r < 0 ? -1 : r, errno);
}

void* call_in_thread(void* number) {
  ::syscall(*static_cast<long*>(number));
  return nullptr;
}

// A tracer that sees PTRACE_EVENT_SECCOMP prints its message (SCMP_ACT_TRACE's number).
void trace(long number) {
  pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    ::syscall(number);
    ::_exit(0);
  }
  int status;
  ::waitpid(child, &status, 0);
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr,
           reinterpret_cast<void*>(static_cast<long>(PTRACE_O_TRACESECCOMP)));
  ::ptrace(PTRACE_CONT, child, nullptr, nullptr);
  ::waitpid(child, &status, 0);
  unsigned long message = 0;
  if (WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_SECCOMP)
    ::ptrace(PTRACE_GETEVENTMSG, child, nullptr, &message);
  std::printf("message=%lu\n", message);
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
}

// A system call of the 32-bit table from a 64-bit program.
void call_i386(int number) {
#ifdef __x86_64__
  int result;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(0)
               : "memory", "r8", "r9", "r10", "r11");
  std::printf("%d\n", result);
#else
  std::printf("none %d\n", number);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  // Each word shows one thing; those with operands take the rest of the line.
  for (int i = 1; i < argc; ++i) {
    const std::string_view what = argv[i];
    if (what == "scheduler")
      show_scheduler();
    else if (what == "ioprio")
      show_io_priority();
    else if (what == "affinity")
      show_affinity();
    else if (what == "mempolicy")
      show_memory_policy();
    else if (what == "personality")
      std::printf("%x\n", static_cast<unsigned>(::personality(0xffffffff)));
    else if (what == "keyring")
      show_session_keyring();
    else if (what == "pause")
      ::pause();
    else if (i + 1 >= argc)
      return 2;
    else if (what == "call")
      return call(argc - i - 1, argv + i + 1), std::fflush(stdout), 0;
    else if (what == "trap") {
      struct sigaction action {};
      action.sa_sigaction = trapped;
      action.sa_flags = SA_SIGINFO;
      ::sigaction(SIGSYS, &action, nullptr);
      return call(argc - i - 1, argv + i + 1), 1;
    } else if (what == "thread") {
      long number = std::strtol(argv[i + 1], nullptr, 0);
      pthread_t thread;
      ::pthread_create(&thread, nullptr, call_in_thread, &number);
      ::usleep(100'000);  // a killed thread cannot be joined
      std::printf("alive\n");
      std::fflush(stdout);
      ::_exit(0);
    } else if (what == "trace")
      return trace(std::strtol(argv[i + 1], nullptr, 0)), 0;
    else if (what == "i386")
      return call_i386(static_cast<int>(std::strtol(argv[i + 1], nullptr, 0))), 0;
    else
      return 2;
    std::fflush(stdout);
  }
  return 0;
}
