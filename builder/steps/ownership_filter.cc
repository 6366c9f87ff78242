#include "builder/steps/ownership_filter.hh"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

#include "builder/steps/ownership_calls.hh"
#include "builder/sys/descriptor_passing.hh"
#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln {

namespace {

#if defined(__x86_64__)
constexpr uint32_t native_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t native_architecture = AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
constexpr uint32_t native_architecture = AUDIT_ARCH_RISCV64;
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
constexpr uint32_t native_architecture = AUDIT_ARCH_PPC64LE;
#elif defined(__s390x__)
constexpr uint32_t native_architecture = AUDIT_ARCH_S390X;
#else
#error "the AUDIT_ARCH_* of this architecture"
#endif

// Of an argument's 64 bits those that a uid_t has.
constexpr size_t low_half = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;

using Program = std::vector<sock_filter>;

void load(Program& program, size_t offset) {
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)));
}

void end(Program& program, uint32_t action) {
  program.push_back(BPF_STMT(BPF_RET | BPF_K, action));
}

void add_call(Program& program, const OwnershipCall& call, int number, uint32_t ids) {
  Program rest;
  if (call.ids == 0 || ids == 1) {
    end(rest, SECCOMP_RET_USER_NOTIF);
  } else {
    for (size_t i = call.first_id; i < size_t{call.first_id} + call.ids; ++i) {
      load(rest, offsetof(seccomp_data, args) + i * sizeof(uint64_t) + low_half);
      rest.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, ids, 0, 1));
      end(rest, SECCOMP_RET_USER_NOTIF);
    }
    end(rest, SECCOMP_RET_ALLOW);
  }
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0,
                             static_cast<uint8_t>(rest.size())));
  program.insert(program.end(), rest.begin(), rest.end());
}

void add_architecture(Program& program, uint32_t architecture, int OwnershipCall::*number,
                      uint32_t ids) {
  Program rest;
  load(rest, offsetof(seccomp_data, nr));
  for (const OwnershipCall& call : ownership_calls)
    if (call.*number >= 0) add_call(rest, call, call.*number, ids);
  end(rest, SECCOMP_RET_ALLOW);
  // More than a conditional jump can skip.
  load(program, offsetof(seccomp_data, arch));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0));
  program.push_back(BPF_STMT(BPF_JMP | BPF_JA, static_cast<uint32_t>(rest.size())));
  program.insert(program.end(), rest.begin(), rest.end());
}

Fd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  Fd connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (path.size() >= sizeof address.sun_path) throw Error("seccomp listener: path too long");
  memcpy(address.sun_path, path.c_str(), path.size());
  if (!connection ||
      connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw SysError("connect to the seccomp listener");
  return connection;
}

}  // namespace

void report_ownership_calls(const std::string& path, uint32_t ids) {
  const Fd connection = connect_to(path);
  Program program;
  add_architecture(program, native_architecture, &OwnershipCall::native, ids);
#if defined(__x86_64__)
  add_architecture(program, AUDIT_ARCH_I386, &OwnershipCall::i386, ids);
#endif
  end(program, SECCOMP_RET_ALLOW);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (!has_capability(CAP_SYS_ADMIN) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    throw SysError("set no_new_privs");
  const Fd listener(static_cast<int>(
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter)));
  if (!listener) throw SysError("a seccomp filter that reports chown and its like");
  send_descriptors(connection.get(), std::string_view("\0", 1), std::array{listener.get()});
}

}  // namespace kiln
