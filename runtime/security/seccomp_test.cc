#include "runtime/security/seccomp.hh"

#include <doctest/doctest.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <cerrno>

#include "runtime/security/seccomp_arch.hh"
#include "runtime/security/seccomp_program.hh"
#include "runtime/security/seccomp_rules.hh"
#include "runtime/security/syscall_names.hh"
#include "runtime/sys/error.hh"

using namespace vessel;

namespace {

oci::Seccomp allow_list(std::vector<std::string> names) {
  oci::Seccomp profile;
  profile.default_action = "SCMP_ACT_ERRNO";
  profile.syscalls.push_back({.names = std::move(names), .action = "SCMP_ACT_ALLOW"});
  return profile;
}

bool has_problem(const oci::Seccomp& profile, std::string_view path, std::string_view part,
                 bool before_capabilities = false) {
  for (const oci::Problem& p : check_seccomp(profile, before_capabilities))
    if (p.path == path && p.message.find(part) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("names resolve on each architecture") {
  REQUIRE(find_syscall("write") != nullptr);
  CHECK(find_syscall("write")->on(Arch::x86_64) == 1);
  CHECK(find_syscall("write")->on(Arch::x86) == 4);
  CHECK(find_syscall("write")->on(Arch::x32) == 0x40000001);
  CHECK(find_syscall("write")->on(Arch::aarch64) == 64);
  CHECK(find_syscall("waitpid")->on(Arch::x86_64) == -1);
  CHECK(find_syscall("socket")->on(Arch::x86) == 359);
  CHECK(find_syscall("no_such_call") == nullptr);
  CHECK(find_syscall("") == nullptr);
}

TEST_CASE("calls newer than libseccomp resolve too") {
  CHECK(find_syscall("mseal")->on(Arch::x86_64) == 462);
  CHECK(find_syscall("statmount")->on(Arch::aarch64) == 457);
  CHECK(find_syscall("file_getattr")->on(Arch::x32) == 0x40000000 + 468);
  CHECK(find_syscall("setxattrat")->on(Arch::mips) == 4463);
  CHECK(find_syscall("listmount")->on(Arch::loongarch64) == 458);
}

TEST_CASE("multiplexed calls know their selectors") {
  CHECK(multiplexed_call(*find_syscall("socket")).socketcall == 1);
  CHECK(multiplexed_call(*find_syscall("sendmmsg")).socketcall == 20);
  CHECK(multiplexed_call(*find_syscall("shmctl")).ipc == 24);
  CHECK(multiplexed_call(*find_syscall("read")).socketcall == 0);
}

TEST_CASE("every problem is reported, with its path") {
  oci::Seccomp profile = allow_list({"read"});
  profile.default_action = "SCMP_ACT_DENY";
  profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_Z80"};
  profile.flags = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_FAST"};
  profile.syscalls[0].errno_ret = 5;
  profile.syscalls[0].args = {{.index = 6, .op = "SCMP_CMP_EQ"}, {.index = 0, .op = "SCMP_CMP_IN"}};
  profile.listener_metadata = "x";
  CHECK(has_problem(profile, "linux.seccomp.defaultAction", "unknown action"));
  CHECK(has_problem(profile, "linux.seccomp.architectures[1]", "unknown architecture"));
  CHECK(has_problem(profile, "linux.seccomp.flags[1]", "unknown flag"));
  CHECK(has_problem(profile, "linux.seccomp.syscalls[0].errnoRet", "does not return an errno"));
  CHECK(has_problem(profile, "linux.seccomp.syscalls[0].args[0].index", "more than 5"));
  CHECK(has_problem(profile, "linux.seccomp.syscalls[0].args[1].op", "unknown operator"));
  CHECK(has_problem(profile, "linux.seccomp.listenerMetadata", "without listenerPath"));
  CHECK_THROWS_AS(compile_seccomp(profile), Error);
  CHECK(check_seccomp(allow_list({"read"}), true).empty());
}

TEST_CASE("the default action takes no errno unless it returns one") {
  oci::Seccomp profile = allow_list({"read"});
  profile.default_errno_ret = ENOSYS;
  CHECK(check_seccomp(profile, false).empty());
  profile.default_action = "SCMP_ACT_KILL";
  CHECK(has_problem(profile, "linux.seccomp.defaultErrnoRet", "does not return an errno"));
}

TEST_CASE("a call that init still makes cannot go to the listener") {
  oci::Seccomp profile = allow_list({"read"});
  profile.listener_path = "/run/agent";
  profile.syscalls.push_back({.names = {"openat", "write"}, .action = "SCMP_ACT_NOTIFY"});
  CHECK(has_problem(profile, "linux.seccomp.syscalls[1]", "write"));
  profile.syscalls[1].names = {"sendmsg", "close", "read", "openat"};
  CHECK(check_seccomp(profile, false).empty());
  profile.syscalls[1].names = {"capset"};
  CHECK(check_seccomp(profile, false).empty());
  CHECK(has_problem(profile, "linux.seccomp.syscalls[1]", "capset", true));
  profile.default_action = "SCMP_ACT_NOTIFY";
  CHECK(has_problem(profile, "linux.seccomp.defaultAction", "cannot be the default"));
  profile.default_action = "SCMP_ACT_ERRNO";
  profile.listener_path.clear();
  CHECK(has_problem(profile, "linux.seccomp.listenerPath", "missing"));
}

TEST_CASE("flags: absent means SPEC_ALLOW, listed means exactly those") {
  oci::Seccomp profile = allow_list({"read"});
  CHECK(compile_seccomp(profile).flags == SECCOMP_FILTER_FLAG_SPEC_ALLOW);
  profile.flags.emplace();
  CHECK(compile_seccomp(profile).flags == 0);
  profile.flags = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC",
                   "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  CHECK(compile_seccomp(profile).flags == SECCOMP_FILTER_FLAG_LOG);
  profile.listener_path = "/run/agent";
  profile.syscalls.push_back({.names = {"mkdir"}, .action = "SCMP_ACT_NOTIFY"});
  const SeccompProgram program = compile_seccomp(profile);
  CHECK(program.notifies);
  CHECK(program.flags ==
        (SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_NEW_LISTENER | uint32_t{1} << 5));
}

TEST_CASE("paths that decide without arguments use what the kernel can work out beforehand") {
  oci::Seccomp profile = allow_list({"read", "write", "mmap", "execve", "futex", "exit_group"});
  profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  for (const sock_filter& i : compile_seccomp(profile).code) {
    const bool load = i.code == (BPF_LD | BPF_W | BPF_ABS) && i.k <= 4;
    const bool jump = BPF_CLASS(i.code) == BPF_JMP;
    const bool ret = i.code == (BPF_RET | BPF_K);
    CHECK((load || jump || ret));
  }
}

TEST_CASE("a program longer than the kernel takes is refused with a reason") {
  oci::Seccomp profile = allow_list({});
  profile.syscalls.clear();
  for (uint64_t value = 0; value < 3000; ++value)
    profile.syscalls.push_back(
        {.names = {"personality"},
         .action = "SCMP_ACT_ALLOW",
         .args = {{.index = 0, .value = value * 3, .value_two = 0, .op = "SCMP_CMP_EQ"}}});
  CHECK_THROWS_WITH_AS(compile_seccomp(profile), doctest::Contains("at most 4096"), Error);
}

TEST_CASE("an s390x program gives ENOSYS to number 0") {
  seccomp::Profile profile;
  profile.default_action = SECCOMP_RET_ERRNO | EPERM;
  profile.enosys_beyond_last = true;
  profile.rules.push_back({SECCOMP_RET_ALLOW, {}});
  profile.archs.push_back({&arch_info(Arch::s390x), {{4, 0, 0}}, 4});
  const auto code = seccomp::generate(profile);
  const auto enosys = [](const sock_filter& i) {
    return i.code == (BPF_RET | BPF_K) && i.k == (SECCOMP_RET_ERRNO | ENOSYS);
  };
  CHECK(std::count_if(code.begin(), code.end(), enosys) >= 1);
}
