// Owns: config.json's linux.seccomp → one BPF program, and loading it. Does not own: the notify
// descriptor's way to its listener (notify_listener.hh), or when in the init sequence it is loaded.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci-spec/format_error.hh"
#include "oci-spec/runtime_config.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// A program ready for seccomp(2). Made by the parent while the child mounts; plain data.
struct SeccompProgram {
  std::vector<sock_filter> code;
  uint32_t flags = 0;     // SECCOMP_FILTER_FLAG_*
  bool notifies = false;  // some syscall goes to a listener: NEW_LISTENER is among the flags
};

// Compiles for the architectures that the profile lists and the native one, as runc and libseccomp
// understand the profile (RUNTIME.md "Seccomp"): unknown syscall names are skipped, syscalls newer
// than the newest one named get ENOSYS. Takes some 0.1 ms. Throws Error when a value is not known
// or the program would exceed the kernel's 4096 instructions.
SeccompProgram compile_seccomp(const oci::Seccomp& profile);

// Everything in the profile that cannot work, each with its path below linux.seccomp; empty when
// compile_seccomp will succeed. To be asked before anything is created.
std::vector<oci::Problem> check_seccomp(const oci::Seccomp& profile, bool before_capabilities);

// The same as an Error with all of them, one a line.
void require_usable_seccomp(const oci::Seccomp& profile, bool before_capabilities);

// The system calls that init makes between loading the filter and execve, and execve itself. A
// profile must not send them to its listener, which does not have the descriptor yet; those with
// another fate than being allowed make the start fail with an error that the kernel gives.
//   write: tells the parent the number of the notify descriptor, waits for `start` (a write to a
//     full pipe or to the exec fifo opened before), reports a failing execve
//   execve, exit_group
//   capset, prctl, capget: only when the filter is loaded before capabilities are dropped
std::vector<std::string_view> syscalls_needed_after_load(bool before_capabilities);

// Loads it on the calling thread. Needs no_new_privs or CAP_SYS_ADMIN. Gives the notify descriptor
// (close-on-exec) when the program notifies. Makes one system call. Throws SysError, naming a flag
// that this kernel does not know.
std::optional<Fd> load_seccomp(const SeccompProgram& program);

// For `features`: what this build knows.
std::vector<std::string_view> seccomp_actions();
std::vector<std::string_view> seccomp_operators();
std::vector<std::string_view> seccomp_architectures();
std::vector<std::string_view> seccomp_known_flags();
std::vector<std::string_view> seccomp_supported_flags();  // by this kernel too

}  // namespace vessel
