// The root itself: the switch, propagation, devices, masked and read-only paths, the terminal.
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/sys/procfs.hh"
#include "runtime/terminal/pty.hh"
#include "tests/runtime/rootfs/container.hh"

namespace rootfs_test {

namespace {

using vessel::Propagation;

struct stat stat_of(const char* path) {
  struct stat status {};
  lstat(path, &status);
  return status;
}

Verdict pivot_leaves_nothing(vessel::RootSwitch how, Propagation propagation) {
  Container c;
  c.usual();
  c.plan.rootfs.root_switch = how;
  c.plan.rootfs.propagation = propagation;
  c.file("root/marker", "inside");
  c.file("outside", "host");
  const std::string outside = c.at("outside");
  const int host_mounts = mountinfo_lines();
  const Verdict verdict = c.run([&]() -> Verdict {
    EXPECT_EQ(read_text("/marker"), "inside");
    EXPECT_EQ(read_text("/../../marker"), "inside");
    EXPECT(chdir("..") == 0);
    EXPECT_EQ(read_text("marker"), "inside");
    EXPECT_EQ(read_text(outside), "");
    if (how == vessel::RootSwitch::pivot) EXPECT_EQ(mountinfo_lines(), 4);
    return "";
  });
  if (!verdict.empty()) return verdict;
  EXPECT_EQ(mountinfo_lines(), host_mounts);
  return "";
}

Verdict root_propagation(Propagation propagation, const char* mark, const char* peers) {
  Container c;
  c.usual();
  c.plan.rootfs.propagation = propagation;
  // A host as systemd leaves it: the mounts that init gets are peers of others.
  c.before = [] {
    mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr);
    open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);  // keeps those others, until the test ends
    unshare(CLONE_NEWNS);
  };
  const int host_mounts = mountinfo_lines();
  const Verdict verdict = c.run([=]() -> Verdict {
    EXPECT(mountinfo_of("/").find(mark) != std::string::npos);
    if (*peers) EXPECT(mountinfo_of("/").find(peers) == std::string::npos);
    return "";
  });
  if (!verdict.empty()) return verdict;
  EXPECT_EQ(mountinfo_lines(), host_mounts);
  return "";
}

Verdict unbindable_root() {
  Container c;
  c.usual();
  c.plan.rootfs.propagation = Propagation::unbindable;
  c.directory("root/target");
  return c.run([]() -> Verdict {
    EXPECT(mount("/", "/target", nullptr, MS_BIND, nullptr) < 0 && errno == EINVAL);
    return "";
  });
}

Verdict readonly_root(const std::function<void()>& before) {
  Container c;
  c.usual();
  c.before = before;
  c.plan.rootfs.readonly = true;
  c.mount("/tmp", {.fs_type = "tmpfs"});
  return c.run([]() -> Verdict {
    EXPECT_EQ(write_text("/x"), "Read-only file system");
    EXPECT_EQ(write_text("/tmp/x"), "");
    return "";
  });
}

Verdict restricted_paths(const std::function<void()>& before) {
  Container c;
  c.usual();
  c.before = before;
  c.directory("root/hidden-a");
  c.directory("root/hidden-b");
  c.file("root/hidden-a/x");
  c.file("root/secret", "hidden");
  c.directory("root/fixed");
  c.plan.rootfs.masked_paths = {"/hidden-a",        "/hidden-b",  "/secret",   "/proc/keys",
                                "/proc/timer_list", "/not/there", "/proc/keys"};
  c.plan.rootfs.readonly_paths = {"/proc/sys", "/fixed", "/missing"};
  const mode_t host_mode = stat_of("/dev/null").st_mode;
  const Verdict verdict = c.run([]() -> Verdict {
    for (const char* path : {"/hidden-a", "/hidden-b"}) {
      EXPECT_EQ(filesystem_of(path), TMPFS_MAGIC);
      EXPECT_EQ(options_of(path), "ro,nosuid,nodev,noexec");
    }
    EXPECT(access("/hidden-a/x", F_OK) < 0);
    EXPECT(stat_of("/hidden-a").st_dev == stat_of("/hidden-b").st_dev);  // one tmpfs
    EXPECT_EQ(read_text("/secret"), "");
    EXPECT(stat_of("/secret").st_rdev == makedev(1, 3));
    EXPECT(stat_of("/proc/keys").st_rdev == makedev(1, 3));
    EXPECT(stat_of("/proc/timer_list").st_rdev == makedev(1, 3));
    EXPECT(chmod("/proc/keys", 0) < 0 && errno == EROFS);
    EXPECT_EQ(write_text("/proc/sys/kernel/hostname"), "Read-only file system");
    EXPECT_EQ(write_text("/fixed/x"), "Read-only file system");
    EXPECT_EQ(write_text("/x"), "");
    return "";
  });
  if (!verdict.empty()) return verdict;
  EXPECT_EQ(stat_of("/dev/null").st_mode, host_mode);
  return "";
}

Verdict masks_without_devices() {
  Container c;
  c.file("root/secret", "hidden");
  c.file("root/other", "hidden");
  c.plan.rootfs.masked_paths = {"/secret", "/other"};
  return c.run([]() -> Verdict {
    EXPECT(stat_of("/secret").st_rdev == makedev(1, 3));
    EXPECT(stat_of("/other").st_rdev == makedev(1, 3));
    EXPECT(chmod("/other", 0) < 0 && errno == EROFS);
    return "";
  });
}

Verdict device_nodes() {
  Container c;
  c.usual();
  const auto add = [&](const char* path, vessel::DeviceType type, uint32_t major, uint32_t minor,
                       uint32_t mode, uint32_t uid, uint32_t gid) {
    vessel::DeviceStep step;
    step.path = path;
    step.type = type;
    step.major = major;
    step.minor = minor;
    step.mode = mode;
    step.uid = uid;
    step.gid = gid;
    c.plan.rootfs.devices.push_back(step);
  };
  add("/dev/deep/er/node", vessel::DeviceType::character, 10, 229, 0606, 12, 34);
  add("/dev/block", vessel::DeviceType::block, 7, 0, 0640, 0, 0);
  add("/dev/pipe", vessel::DeviceType::fifo, 0, 0, 0622, 5, 0);
  add("/dev/null", vessel::DeviceType::character, 1, 3, 0666, 0, 0);  // a second time
  const mode_t before = umask(077);
  const Verdict verdict = c.run([]() -> Verdict {
    const auto node = stat_of("/dev/deep/er/node");
    EXPECT(S_ISCHR(node.st_mode) && node.st_rdev == makedev(10, 229));
    EXPECT_EQ(node.st_mode & 07777, 0606u);
    EXPECT_EQ(node.st_uid, 12u);
    EXPECT_EQ(node.st_gid, 34u);
    EXPECT(S_ISBLK(stat_of("/dev/block").st_mode));
    EXPECT(S_ISFIFO(stat_of("/dev/pipe").st_mode));
    EXPECT_EQ(stat_of("/dev/pipe").st_mode & 07777, 0622u);
    EXPECT_EQ(stat_of("/dev/deep").st_mode & 07777, 0755u);
    char target[64] = {};
    EXPECT(readlink("/dev/ptmx", target, sizeof target - 1) == 8);
    EXPECT_EQ(std::string(target), "pts/ptmx");
    EXPECT_EQ(umask(0), 077u);  // the caller's again
    return "";
  });
  umask(before);
  return verdict;
}

Verdict device_mismatch_is_an_error() {
  Container c;
  c.directory("root/dev");
  mknod(c.at("root/dev/null").c_str(), S_IFCHR | 0666, makedev(1, 5));
  vessel::DeviceStep step;
  step.path = "/dev/null";
  step.major = 1;
  step.minor = 3;
  c.plan.rootfs.devices.push_back(step);
  const Verdict verdict = c.run([]() -> Verdict { return "went on"; });
  EXPECT_EQ(verdict, "device /dev/null: something else lies there already");
  return "";
}

Verdict terminal() {
  Container c;
  c.usual();
  c.before_switch = [](vessel::RootfsSetup& setup) {
    static vessel::Pty pty;  // outlives the lambda, as init's would
    pty = vessel::open_pty(setup.root());
    vessel::set_terminal_size(pty.master.get(), {24, 80});
    setup.bind_console(pty.slave.get());
    vessel::adopt_terminal(pty.slave.get(), 0);
  };
  return c.run([]() -> Verdict {
    EXPECT_EQ(filesystem_of("/dev/console"), DEVPTS_SUPER_MAGIC);
    EXPECT(stat_of("/dev/console").st_rdev == makedev(136, 0));
    const char* name = ttyname(STDIN_FILENO);
    EXPECT(name != nullptr);
    EXPECT_EQ(std::string(name), "/dev/pts/0");
    const vessel::Fd tty(open("/dev/tty", O_RDWR | O_CLOEXEC));
    EXPECT(!tty || tcgetpgrp(tty.get()) == getpid());
    EXPECT(tcgetpgrp(STDIN_FILENO) == getpid());
    return "";
  });
}

// Writes go to the kernel although the container has mounted over them.
Verdict private_procfs() {
  Container c;
  c.usual();
  return c.run([]() -> Verdict {
    const vessel::ProcFs procfs = vessel::ProcFs::open();
    EXPECT(procfs.is_private());
    EXPECT(mount("tmpfs", "/proc", "tmpfs", 0, nullptr) == 0);
    EXPECT(procfs.read("self/stat").starts_with("1 "));
    procfs.write("sys/kernel/domainname", "from-outside");
    EXPECT_EQ(procfs.read("sys/kernel/domainname"), "from-outside\n");
    bool refused = false;
    try {
      vessel::ProcFs::adopt_host();
    } catch (const std::exception&) {
      refused = true;
    }
    EXPECT(refused);
    return "";
  });
}

Verdict procfs_outlives_the_switch() {
  Container c;
  c.usual();
  static const vessel::ProcFs* procfs;
  c.before_switch = [](vessel::RootfsSetup& setup) { procfs = &setup.open_procfs(); };
  return c.run([]() -> Verdict {
    EXPECT(procfs->read("self/stat").starts_with("1 "));
    EXPECT_EQ(mountinfo_lines(), 4);
    return "";
  });
}

}  // namespace

std::vector<Case> root_cases() {
  using vessel::RootSwitch;
  return {
      {"pivot_root leaves no host mount",
       [] { return pivot_leaves_nothing(RootSwitch::pivot, Propagation::rslave); }},
      {"pivot_root with a shared root leaves no host mount",
       [] { return pivot_leaves_nothing(RootSwitch::pivot, Propagation::rshared); }},
      {"--no-pivot", [] { return pivot_leaves_nothing(RootSwitch::move, Propagation::rslave); }},
      {"root propagation shared",
       [] { return root_propagation(Propagation::shared, " shared:", " master:"); }},
      {"root propagation rslave",
       [] { return root_propagation(Propagation::rslave, " master:", " shared:"); }},
      {"root propagation rprivate",
       [] { return root_propagation(Propagation::rprivate, " - ", " master:"); }},
      {"root propagation unbindable", unbindable_root},
      {"read-only root", [] { return readonly_root([] {}); }},
      {"read-only root without mount_setattr",
       [] { return readonly_root([] { refuse_call(SYS_mount_setattr, ENOSYS); }); }},
      {"masked and read-only paths", [] { return restricted_paths([] {}); }},
      {"masked and read-only paths without mount_setattr",
       [] { return restricted_paths([] { refuse_call(SYS_mount_setattr, ENOSYS); }); }},
      {"masked paths without devices", masks_without_devices},
      {"devices: numbers, modes, owners", device_nodes},
      {"a device that is not the one wanted is an error", device_mismatch_is_an_error},
      {"terminal and /dev/console", terminal},
      {"private procfs behind a covered /proc", private_procfs},
      {"the procfs outlives the switch of the root", procfs_outlives_the_switch},
  };
}

}  // namespace rootfs_test
