#include "builder/steps/seccomp_profile.hh"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace kiln {

namespace {

// Names are separated by spaces. A name that a runtime's libseccomp does not know is skipped by it.
constexpr std::string_view always =
    "accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown "
    "chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect "
    "copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old "
    "epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit "
    "exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod "
    "fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr "
    "flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate "
    "ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat "
    "get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid "
    "geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid "
    "getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit "
    "getrusage getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr "
    "getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel "
    "io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl "
    "ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset "
    "landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr "
    "listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise "
    "map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat "
    "mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive "
    "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget "
    "msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat "
    "_newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc "
    "pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 "
    "process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink "
    "readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr "
    "removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq "
    "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop "
    "semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list "
    "set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 "
    "setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid "
    "setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid "
    "setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd "
    "signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 "
    "statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time "
    "timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime "
    "timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
    "timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat "
    "uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write "
    "writev ";

// What a capability opens. A process without it would get EPERM from the kernel anyhow, mostly; the
// filter keeps the code behind these calls out of reach of kernel bugs.
constexpr struct {
  std::string_view capability, names;
} opened[] = {
    {"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
    {"CAP_SYS_ADMIN",
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
     "lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount "
     "open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog "
     "umount umount2 unshare"},
    {"CAP_SYS_BOOT", "reboot"},
    {"CAP_SYS_CHROOT", "chroot"},
    {"CAP_SYS_MODULE", "delete_module init_module finit_module"},
    {"CAP_SYS_PACCT", "acct"},
    {"CAP_SYS_PTRACE",
     "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
    {"CAP_SYS_RAWIO", "iopl ioperm"},
    {"CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"},
    {"CAP_SYS_TTY_CONFIG", "vhangup"},
    {"CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {"CAP_SYSLOG", "syslog"},
    {"CAP_BPF", "bpf"},
    {"CAP_PERFMON", "perf_event_open"},
};

constexpr std::string_view allow = "SCMP_ACT_ALLOW";
// Flags of clone(2) that make namespaces: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID,
// NEWNET.
constexpr uint64_t namespace_flags = 0x7e020000;

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> result;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) result.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

void rule(oci::Seccomp& seccomp, std::string_view names, std::vector<oci::SeccompArg> args = {}) {
  seccomp.syscalls.push_back({words(names), std::string(allow), {}, std::move(args)});
}

oci::SeccompArg argument(uint32_t index, std::string_view op, uint64_t value,
                         uint64_t value_two = 0) {
  return {index, value, value_two, std::string(op)};
}

bool kernel_at_least(int major, int minor) {
  utsname name{};
  uname(&name);
  char* rest = nullptr;
  const long have_major = strtol(name.release, &rest, 10);
  const long have_minor = *rest == '.' ? strtol(rest + 1, nullptr, 10) : 0;
  return have_major > major || (have_major == major && have_minor >= minor);
}

}  // namespace

oci::Seccomp default_seccomp(const std::vector<std::string>& capabilities) {
  const auto has = [&](std::string_view capability) {
    return std::ranges::find(capabilities, capability) != capabilities.end();
  };
  oci::Seccomp s;
  s.default_action = "SCMP_ACT_ERRNO";
  s.default_errno_ret = 1;  // EPERM
  rule(s, always);
  // Before 4.8 a traced process could change a call after the filter had seen it.
  if (kernel_at_least(4, 8)) rule(s, "process_vm_readv process_vm_writev ptrace");
  // All address families but AF_ALG (38) and AF_VSOCK (40), which reach past the namespace.
  rule(s, "socket", {argument(0, "SCMP_CMP_LT", 38)});
  rule(s, "socket", {argument(0, "SCMP_CMP_EQ", 39)});
  rule(s, "socket", {argument(0, "SCMP_CMP_GT", 40)});
  // PER_LINUX, PER_LINUX32, UNAME26 of both, and the question "which".
  for (const uint64_t persona : {0x0u, 0x8u, 0x20000u, 0x20008u, 0xffffffffu})
    rule(s, "personality", {argument(0, "SCMP_CMP_EQ", persona)});
#if defined(__x86_64__)
  s.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  rule(s, "arch_prctl modify_ldt");
#elif defined(__aarch64__)
  s.architectures = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
  rule(s, "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls");
#elif defined(__riscv)
  s.architectures = {"SCMP_ARCH_RISCV64"};
  rule(s, "riscv_flush_icache");
#elif defined(__powerpc64__)
  s.architectures = {"SCMP_ARCH_PPC64LE"};
  rule(s, "sync_file_range2 swapcontext");
#elif defined(__s390x__)
  s.architectures = {"SCMP_ARCH_S390X", "SCMP_ARCH_S390"};
  rule(s, "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr");
#endif
  for (const auto& row : opened)
    if (has(row.capability)) rule(s, row.names);
  if (!has("CAP_SYS_ADMIN")) {
#if defined(__s390x__)
    constexpr uint32_t flags_argument = 1;  // its clone(2) takes the stack first
#else
    constexpr uint32_t flags_argument = 0;
#endif
    rule(s, "clone", {argument(flags_argument, "SCMP_CMP_MASKED_EQ", namespace_flags, 0)});
    // A filter cannot look into clone3's struct; ENOSYS makes the C library fall back to clone.
    s.syscalls.push_back({{"clone3"}, "SCMP_ACT_ERRNO", 38u, {}});
  }
  return s;
}

}  // namespace kiln
