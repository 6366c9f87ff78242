// Images that try to make the set-up touch something outside of the root.
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "tests/runtime/rootfs/container.hh"

namespace rootfs_test {

namespace {

bool empty_directory(const std::string& path) {
  return std::filesystem::is_empty(std::filesystem::path(path));
}

// CVE-2024-45310: targets made through a link must not appear on the host.
Verdict links_to_the_host(const std::function<void()>& before) {
  Container c;
  c.before = before;
  c.directory("victim");
  c.directory("source");
  c.file("source/inside", "content");
  c.directory("root/etc");
  c.link(c.at("victim"), "root/absolute");
  c.link("../../../../../../../../.." + c.at("victim"), "root/etc/relative");
  c.bind(c.at("source"), "/absolute/made");
  c.bind(c.at("source/inside"), "/etc/relative/made-file");
  c.mount("/absolute/memory", {.fs_type = "tmpfs"});
  const std::string inside = c.at("victim");
  const Verdict verdict = c.run([&]() -> Verdict {
    EXPECT_EQ(read_text(inside + "/made/inside"), "content");
    EXPECT_EQ(read_text(inside + "/made-file"), "content");
    EXPECT_EQ(filesystem_of(inside + "/memory"), TMPFS_MAGIC);
    return "";
  });
  if (!verdict.empty()) return verdict;
  EXPECT(empty_directory(c.at("victim")));
  return "";
}

// CVE-2019-19921, CVE-2023-27561.
Verdict proc_is_a_link() {
  for (const char* type : {"proc", "sysfs"}) {
    Container c;
    c.directory("root/elsewhere");
    c.link("elsewhere", "root/proc");
    c.mount("/proc", {.fs_type = type});
    const Verdict verdict = c.run([]() -> Verdict { return "mounted"; });
    EXPECT(verdict.find("symbolic link") != std::string::npos);
  }
  return "";
}

// CVE-2026-41579, crun CVE-2026-47766: everything of /dev lands inside the root.
Verdict dev_is_a_link() {
  Container c;
  c.directory("victim");
  c.link(c.at("victim"), "root/dev");
  c.usual();
  c.plan.rootfs.mounts.erase(c.plan.rootfs.mounts.begin() + 1);  // no tmpfs on /dev
  const std::string inside = c.at("victim");
  const Verdict verdict = c.run([&]() -> Verdict {
    struct stat status {};
    EXPECT(stat((inside + "/null").c_str(), &status) == 0);
    EXPECT(status.st_rdev == makedev(1, 3));
    return "";
  });
  if (!verdict.empty()) return verdict;
  EXPECT(empty_directory(c.at("victim")));
  return "";
}

// CVE-2019-16884: a volume over /proc/self/attr would swallow the labels.
Verdict link_into_procfs() {
  Container c;
  c.usual();
  c.directory("source");
  c.link("/proc/sys", "root/data");
  c.bind(c.at("source"), "/data");
  const Verdict verdict = c.run([]() -> Verdict { return "mounted"; });
  EXPECT(verdict.find("into a proc file system") != std::string::npos);
  return "";
}

// Magic links of procfs lead to the runtime's own descriptors.
Verdict magic_link() {
  Container c;
  c.usual();
  c.directory("source");
  c.link("/proc/self/cwd/../../../..", "root/data");
  c.bind(c.at("source"), "/data/x");
  const Verdict verdict = c.run([]() -> Verdict { return "mounted"; });
  EXPECT(verdict.find("Too many levels of symbolic links") != std::string::npos);
  return "";
}

// CVE-2025-31133: a link or a file where /dev/null should be.
Verdict wrong_null() {
  for (const bool by_bind : {false, true}) {
    Container c;
    c.directory("root/dev");
    c.file("victim", "keep");
    c.link(c.at("victim"), "root/dev/null");
    c.directory("root/secret-directory");
    c.file("root/secret", "hidden");
    vessel::DeviceStep null;
    null.path = "/dev/null";
    null.major = 1;
    null.minor = 3;
    null.by_bind = by_bind;
    c.plan.rootfs.devices.push_back(null);
    c.plan.rootfs.masked_paths = {"/secret"};
    const Verdict verdict = c.run([]() -> Verdict { return "went on"; });
    EXPECT_EQ(verdict.substr(0, 18), "device /dev/null: ");
    EXPECT_EQ(read_text(c.at("victim")), "keep");
  }
  return "";
}

// CVE-2025-52565.
Verdict console_is_a_link() {
  Container c;
  c.usual();
  c.plan.rootfs.mounts.erase(c.plan.rootfs.mounts.begin() + 1);
  c.directory("root/dev");
  c.file("root/victim", "keep");
  c.link("/victim", "root/dev/console");
  c.before_switch = [](vessel::RootfsSetup& setup) {
    const vessel::Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    setup.bind_console(null.get());
  };
  const Verdict verdict = c.run([]() -> Verdict { return "went on"; });
  EXPECT(verdict.starts_with("bind the terminal on /dev/console: "));
  return "";
}

// CVE-2021-30465: the target is exchanged for a link all the time while the set-up runs.
Verdict racing_swap() {
  Container c;
  c.directory("victim");
  c.directory("source");
  c.directory("root/volume/target");
  c.link("../../../../../../../../.." + c.at("victim"), "root/volume/link");
  const pid_t swapper = fork();
  if (swapper == 0) {
    const std::string a = c.at("root/volume/target"), b = c.at("root/volume/link");
    for (;;) syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
  }
  for (int i = 0; i < 40; ++i) {
    c.bind(c.at("source"), "/volume/target/made" + std::to_string(i));
    c.mount("/volume/target/memory" + std::to_string(i), {.fs_type = "tmpfs"});
  }
  c.only_mounts = true;
  const std::string victim = c.at("victim");
  Verdict verdict;
  for (int round = 0; round < 25 && verdict.empty(); ++round) {
    verdict = c.run([&]() -> Verdict {
      // Still in the host's root: nothing may have been mounted beside the container's.
      EXPECT(read_text("/proc/self/mountinfo").find(" " + victim) == std::string::npos);
      return "";
    });
    // A race may well end in an error; what counts is that nothing went outside.
    if (!verdict.empty() && verdict.starts_with("mounts[")) verdict.clear();
  }
  kill(swapper, SIGKILL);
  waitpid(swapper, nullptr, 0);
  if (!verdict.empty()) return verdict;
  EXPECT(empty_directory(victim));
  return "";
}

}  // namespace

std::vector<Case> attack_cases() {
  return {
      {"links to host paths stay inside", [] { return links_to_the_host([] {}); }},
      {"links to host paths stay inside without openat2",
       [] { return links_to_the_host([] { refuse_call(SYS_openat2, ENOSYS); }); }},
      {"proc and sysfs are not mounted through a link", proc_is_a_link},
      {"/dev as a link to the host stays inside", dev_is_a_link},
      {"a link into procfs is no mount target", link_into_procfs},
      {"magic links are not followed", magic_link},
      {"/dev/null as a link is refused", wrong_null},
      {"/dev/console as a link is refused", console_is_a_link},
      {"a target swapped for a link while mounting", racing_swap},
  };
}

}  // namespace rootfs_test
