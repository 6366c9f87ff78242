// Owns: the system calls that ask for owners, ids and devices that a user namespace may not give,
// by number, and where their arguments are. Does not own: what is done about one.
#pragma once

#include <sys/syscall.h>

#include <cstdint>
#include <string_view>

namespace kiln {

// How a call names its file, and where its ids are.
enum class CallTarget : uint8_t { none, path, link, descriptor, at, at_mode };
struct OwnershipCall {
  std::string_view name;
  int native, i386;  // numbers; -1: there is none
  CallTarget target;
  uint8_t first_id, ids;  // index of the first id argument, and how many
};

#if defined(SYS_chown)
#define KILN_NATIVE_CALL(name) SYS_##name
#else  // architectures of the generic table have only the *at forms
#define KILN_NATIVE_CALL(name) -1
#endif

inline constexpr OwnershipCall ownership_calls[] = {
    {"chown", KILN_NATIVE_CALL(chown), 182, CallTarget::path, 1, 2},
    {"lchown", KILN_NATIVE_CALL(lchown), 16, CallTarget::link, 1, 2},
    {"fchown", SYS_fchown, 95, CallTarget::descriptor, 1, 2},
    {"fchownat", SYS_fchownat, 298, CallTarget::at, 2, 2},
    {"chown32", -1, 212, CallTarget::path, 1, 2},
    {"lchown32", -1, 198, CallTarget::link, 1, 2},
    {"fchown32", -1, 207, CallTarget::descriptor, 1, 2},
    {"setuid", SYS_setuid, 23, CallTarget::none, 0, 1},
    {"setgid", SYS_setgid, 46, CallTarget::none, 0, 1},
    {"setreuid", SYS_setreuid, 70, CallTarget::none, 0, 2},
    {"setregid", SYS_setregid, 71, CallTarget::none, 0, 2},
    {"setresuid", SYS_setresuid, 164, CallTarget::none, 0, 3},
    {"setresgid", SYS_setresgid, 170, CallTarget::none, 0, 3},
    {"setfsuid", SYS_setfsuid, 138, CallTarget::none, 0, 1},
    {"setfsgid", SYS_setfsgid, 139, CallTarget::none, 0, 1},
    {"setuid32", -1, 213, CallTarget::none, 0, 1},
    {"setgid32", -1, 214, CallTarget::none, 0, 1},
    {"setreuid32", -1, 203, CallTarget::none, 0, 2},
    {"setregid32", -1, 204, CallTarget::none, 0, 2},
    {"setresuid32", -1, 208, CallTarget::none, 0, 3},
    {"setresgid32", -1, 210, CallTarget::none, 0, 3},
    {"setfsuid32", -1, 215, CallTarget::none, 0, 1},
    {"setfsgid32", -1, 216, CallTarget::none, 0, 1},
    {"setgroups", SYS_setgroups, 81, CallTarget::none, 0, 0},
    {"setgroups32", -1, 206, CallTarget::none, 0, 0},
    {"mknod", KILN_NATIVE_CALL(mknod), 14, CallTarget::path, 1, 0},
    {"mknodat", SYS_mknodat, 297, CallTarget::at_mode, 2, 0},
};
#undef KILN_NATIVE_CALL

}  // namespace kiln
