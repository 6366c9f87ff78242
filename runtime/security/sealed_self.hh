// Owns: making sure that vessel's own processes never execute a file that a container could write
// (CVE-2019-5736). Does not own: which verbs need it (cli/).
//
// A process cloned from vessel is, until its execve, reachable as /proc/PID/exe from inside the
// container. So verbs that clone into a container re-execute themselves once, first thing, from a
// protected copy; all that they clone inherits it. In this order:
//   1. a detached clone of the executable's mount, made read-only (about 20 µs). The tree's
//      descriptor is close-on-exec: once the execve is done nobody holds it, the mount belongs to
//      no namespace any more and not even CAP_SYS_ADMIN can change its flags.
//   2. where mounting is not allowed: such a clone made by a child in a user and a mount namespace of
//      its own (clone_in_namespaces.hh).
//   3. where that is not allowed either: a sealed memfd.
//   4. where memfds must not be executable (vm.memfd_noexec=2): a private unlinked file. It is no
//      other process's executable, so writing it later changes nothing.
// If none can be had the verb fails. The host's file is never used silently.
#pragma once

#include <cstdint>

namespace vessel {

enum class SelfProtection : uint8_t { read_only_clone, sealed_memfd, private_file };

// To be called before anything else in main, before any thread or descriptor exists. Returns in the
// protected copy (with the process named "vessel" again), and says which kind it is; in the
// original it does not return. Throws Error when no protection can be had.
SelfProtection ensure_protected_self(char** argv, char** envp);

// The same, beginning at a given step of the order: for tests and for the fallback's proof.
SelfProtection ensure_protected_self(char** argv, char** envp, SelfProtection first);

const char* name_of(SelfProtection protection);

}  // namespace vessel
