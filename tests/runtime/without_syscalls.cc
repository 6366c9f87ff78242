// Owns: running a program on a kernel that seems to lack system calls: a seccomp filter answers the
// named ones with one errno, or kills. Does not own: what the program does then.
//
// without_syscalls ERRNO NAME[,NAME…] PROGRAM ARG…
//   ERRNO is ENOSYS, EPERM, or KILL: the process ends there as by SIGKILL. `kernel-5.11` stands for
//   every system call that came after that Linux.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Name {
  std::string_view name;
  uint32_t number;
};

constexpr Name names[] = {
    {"bpf", SYS_bpf},
    {"clone3", SYS_clone3},
    {"close_range", 436},
    {"faccessat2", 439},
    {"fchmodat2", 452},
    {"fsconfig", 431},
    {"fsmount", 432},
    {"fsopen", 430},
    {"fspick", 433},
    {"getxattrat", 464},
    {"keyctl", SYS_keyctl},
    {"listmount", 458},
    {"memfd_create", SYS_memfd_create},
    {"mount_setattr", 442},
    {"move_mount", 429},
    {"open_tree", 428},
    {"open_tree_attr", 467},
    {"openat2", 437},
    {"pidfd_getfd", 438},
    {"pidfd_open", 434},
    {"pidfd_send_signal", 424},
    {"setxattr", SYS_setxattr},
    {"statmount", 457},
    {"statx", SYS_statx},
};

// Linux 5.12 brought mount_setattr (442); what has higher numbers came later.
constexpr uint32_t first_after_5_11 = 442;

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const uint32_t error = std::strcmp(argv[1], "EPERM") == 0 ? EPERM : ENOSYS;
  const uint32_t action =
      std::strcmp(argv[1], "KILL") == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | error;
  std::vector<uint32_t> numbers;
  bool newer = false;
  std::string_view list = argv[2];
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view one = list.substr(0, comma);
    list = comma == list.npos ? "" : list.substr(comma + 1);
    bool found = one == "kernel-5.11";
    newer |= found;
    for (const Name& n : names)
      if (n.name == one) {
        numbers.push_back(n.number);
        found = true;
      }
    if (!found) {
      std::fprintf(stderr, "unknown system call %.*s\n", static_cast<int>(one.size()), one.data());
      return 2;
    }
  }
  std::vector<sock_filter> code = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  for (uint32_t n : numbers) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, action));
  }
  if (newer) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first_after_5_11, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  // As root: no no_new_privs, which the container would inherit.
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
    std::perror("PR_SET_SECCOMP");
    return 2;
  }
  ::execv(argv[3], argv + 3);
  std::perror(argv[3]);
  return 127;
}
