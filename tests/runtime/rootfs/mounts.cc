// Every kind of mount, and its options read back inside.
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "tests/runtime/rootfs/container.hh"

namespace rootfs_test {

namespace {

using vessel::Propagation;

constexpr uint64_t ro = MOUNT_ATTR_RDONLY, nosuid = MOUNT_ATTR_NOSUID, nodev = MOUNT_ATTR_NODEV,
                   noexec = MOUNT_ATTR_NOEXEC;

struct stat stat_of(const char* path) {
  struct stat status {};
  lstat(path, &status);
  return status;
}

Verdict every_kind(const std::function<void()>& before) {
  Container c;
  c.before = before;
  c.usual();
  c.directory("source");
  c.file("source/inside", "content");
  c.file("hosts", "names");
  c.mount("/sys", {.fs_type = "sysfs", .source = "sysfs"}).attributes.set =
      ro | nosuid | nodev | noexec;
  c.mount("/dev/mqueue", {.fs_type = "mqueue", .source = "mqueue"}).attributes.set = nosuid;
  c.mount("/data", {.fs_type = "tmpfs", .source = "tmpfs", .options = {{"size", "4096k"}}})
      .attributes.set = noexec | MOUNT_ATTR_NOATIME;
  c.bind(c.at("source"), "/new/dir").attributes.set = ro | nodev;
  c.bind(c.at("hosts"), "/etc/hosts").attributes.set = nosuid;
  auto& slave = c.bind(c.at("source"), "/shared");
  slave.propagation = Propagation::rshared;
  return c.run([]() -> Verdict {
    EXPECT_EQ(filesystem_of("/proc"), PROC_SUPER_MAGIC);
    EXPECT(read_text("/proc/self/stat").starts_with("1 "));
    EXPECT_EQ(filesystem_of("/sys"), SYSFS_MAGIC);
    EXPECT_EQ(options_of("/sys"), "ro,nosuid,nodev,noexec");
    EXPECT_EQ(filesystem_of("/dev"), TMPFS_MAGIC);
    EXPECT_EQ(options_of("/dev"), "rw,nosuid,strictatime");
    EXPECT_EQ(filesystem_of("/dev/pts"), DEVPTS_SUPER_MAGIC);
    EXPECT_EQ(options_of("/dev/pts"), "rw,nosuid,noexec");
    EXPECT(stat_of("/dev/pts/ptmx").st_rdev == makedev(5, 2));
    EXPECT_EQ(stat_of("/dev/pts/ptmx").st_mode & 07777, 0666u);
    EXPECT_EQ(filesystem_of("/dev/mqueue"), 0x19800202);
    EXPECT_EQ(options_of("/data"), "rw,noexec,noatime");
    struct statvfs fs {};
    EXPECT(statvfs("/data", &fs) == 0);
    EXPECT_EQ(fs.f_blocks * fs.f_frsize, 4096u * 1024);
    EXPECT_EQ(read_text("/new/dir/inside"), "content");
    EXPECT_EQ(options_of("/new/dir"), "ro,nodev");
    EXPECT_EQ(write_text("/new/dir/x"), "Read-only file system");
    EXPECT_EQ(read_text("/etc/hosts"), "names");
    EXPECT_EQ(options_of("/etc/hosts"), "rw,nosuid");
    EXPECT(mountinfo_of("/shared").find(" shared:") != std::string::npos);
    EXPECT(mountinfo_of("/new/dir").find(" shared:") == std::string::npos);
    return "";
  });
}

Verdict tmpfs_mode() {
  Container c;
  c.directory("root/run", 0711);
  c.mount("/run", {.fs_type = "tmpfs"});
  c.mount("/fresh", {.fs_type = "tmpfs"});
  c.mount("/said", {.fs_type = "tmpfs", .options = {{"mode", "0700"}}});
  return c.run([]() -> Verdict {
    EXPECT_EQ(stat_of("/run").st_mode & 07777, 0711u);
    EXPECT_EQ(stat_of("/fresh").st_mode & 07777, 01777u);
    EXPECT_EQ(stat_of("/said").st_mode & 07777, 0700u);
    return "";
  });
}

Verdict bad_option_is_named() {
  Container c;
  c.mount("/data", {.fs_type = "tmpfs", .options = {{"mode", "755"}, {"size", "64x"}}});
  const Verdict verdict = c.run([]() -> Verdict { return "no error"; });
  EXPECT(verdict.starts_with("mounts[0] (/data): fsconfig size=64x"));
  return "";
}

Verdict copy_up() {
  Container c;
  c.directory("root/var/lib/x/deep", 0750);
  c.file("root/var/lib/x/file", "text");
  chmod(c.at("root/var/lib/x/file").c_str(), 0640);
  c.owner("root/var/lib/x/file", 7, 8);
  c.hard_link("root/var/lib/x/file", "root/var/lib/x/second");
  c.link("/etc/shadow", "root/var/lib/x/link");
  c.owner("root/var/lib/x", 33, 34);
  chmod(c.at("root/var/lib/x").c_str(), 02770);
  c.mount("/var/lib/x", {.fs_type = "tmpfs", .copy_up = true}).attributes.set = nosuid;
  return c.run([]() -> Verdict {
    EXPECT_EQ(filesystem_of("/var/lib/x"), TMPFS_MAGIC);
    EXPECT_EQ(options_of("/var/lib/x"), "rw,nosuid");
    EXPECT_EQ(read_text("/var/lib/x/file"), "text");
    const auto file = stat_of("/var/lib/x/file"), second = stat_of("/var/lib/x/second");
    EXPECT_EQ(file.st_mode & 07777, 0640u);
    EXPECT_EQ(file.st_uid, 7u);
    EXPECT_EQ(file.st_gid, 8u);
    EXPECT_EQ(file.st_ino, second.st_ino);
    EXPECT_EQ(stat_of("/var/lib/x/deep").st_mode & 07777, 0750u);
    EXPECT(S_ISLNK(stat_of("/var/lib/x/link").st_mode));
    EXPECT_EQ(stat_of("/var/lib/x").st_uid, 33u);
    EXPECT_EQ(stat_of("/var/lib/x").st_mode & 07777, 02770u);
    return "";
  });
}

Verdict readonly_tmpfs_takes_targets_first() {
  Container c;
  c.usual();
  c.plan.rootfs.mounts[1].attributes.set |= ro;
  c.file("hosts", "names");
  c.mount("/ro", {.fs_type = "tmpfs", .readonly_superblock = true}).attributes.set = ro;
  c.bind(c.at("hosts"), "/ro/made/file");
  return c.run([]() -> Verdict {
    EXPECT_EQ(options_of("/ro"), "ro");
    EXPECT_EQ(write_text("/ro/x"), "Read-only file system");
    EXPECT_EQ(read_text("/ro/made/file"), "names");
    EXPECT_EQ(write_text("/dev/x"), "Read-only file system");
    EXPECT_EQ(write_text("/dev/null"), "");
    return "";
  });
}

Verdict remounted() {
  Container c;
  c.directory("source");
  c.mount("/data", {.fs_type = "tmpfs", .options = {{"size", "4096k"}}});
  c.bind(c.at("source"), "/volume").attributes.set = ro | nosuid;
  auto& data = c.mount("/data", {.fs_type = "tmpfs", .options = {{"size", "8192k"}}});
  data.remount = true;
  data.attributes.set = noexec;
  auto& volume = c.bind("", "/volume");
  volume.remount = true;
  volume.attributes = {nodev, ro};
  return c.run([]() -> Verdict {
    struct statvfs fs {};
    EXPECT(statvfs("/data", &fs) == 0);
    EXPECT_EQ(fs.f_blocks * fs.f_frsize, 8192u * 1024);
    EXPECT_EQ(options_of("/data"), "rw,noexec");
    EXPECT_EQ(options_of("/volume"), "rw,nosuid,nodev");
    return "";
  });
}

// overlay takes mount(2)'s text: more than 255 bytes of lowerdir, commas escaped.
Verdict long_options() {
  Container c;
  std::string lower;
  for (int i = 0; i < 12; ++i) {
    const std::string name = "layers/" + std::string(24, static_cast<char>('a' + i));
    c.directory(name);
    c.file(name + "/" + std::to_string(i), "text");
    lower += (lower.empty() ? "" : ":") + c.at(name);
  }
  c.mount("/merged", {.fs_type = "overlay", .source = "overlay", .options = {{"lowerdir", lower}}});
  return c.run([]() -> Verdict {
    EXPECT_EQ(read_text("/merged/0"), "text");
    EXPECT_EQ(read_text("/merged/11"), "text");
    return "";
  });
}

// A source with a mount below it, in a mount namespace of the test's own.
Verdict recursive_options() {
  Container c;
  c.directory("source/below");
  c.before = [&c] {
    mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    mount("tmpfs", c.at("source/below").c_str(), "tmpfs", 0, nullptr);
  };
  c.bind(c.at("source"), "/plain", true).attributes.set = ro;
  c.bind(c.at("source"), "/deep", true).recursive_attributes.set = ro | nosuid;
  c.bind(c.at("source"), "/single", false).recursive_attributes.set = ro;
  return c.run([]() -> Verdict {
    EXPECT_EQ(options_of("/plain"), "ro");
    EXPECT_EQ(options_of("/plain/below"), "rw");
    EXPECT_EQ(options_of("/deep"), "ro,nosuid");
    EXPECT_EQ(options_of("/deep/below"), "ro,nosuid");
    EXPECT_EQ(filesystem_of("/deep/below"), TMPFS_MAGIC);
    EXPECT(filesystem_of("/single/below") != TMPFS_MAGIC);
    return "";
  });
}

Verdict id_mapped() {
  Container c;
  c.directory("source");
  c.file("source/root-owned");
  c.owner("source/root-owned", 0, 1);
  vessel::MountIdmap map;
  map.uid = {{0, 5000, 10}};
  map.gid = {{0, 6000, 10}};
  c.bind(c.at("source"), "/mapped").idmap = map;
  c.bind(c.at("source"), "/plain");
  c.mount("/memory", {.fs_type = "tmpfs", .options = {{"mode", "0777"}}}).idmap = map;
  return c.run([]() -> Verdict {
    EXPECT_EQ(stat_of("/mapped/root-owned").st_uid, 5000u);
    EXPECT_EQ(stat_of("/mapped/root-owned").st_gid, 6001u);
    EXPECT_EQ(stat_of("/plain/root-owned").st_uid, 0u);
    EXPECT_EQ(stat_of("/memory").st_uid, 5000u);
    return "";
  });
}

Verdict user_namespace() {
  Container c;
  c.usual();
  c.namespaces |= CLONE_NEWUSER | CLONE_NEWNET;
  c.plan.namespaces.new_user = true;
  c.plan.namespaces.own[static_cast<size_t>(vessel::NamespaceKind::network)] = 1;
  for (auto& device : c.plan.rootfs.devices) device.by_bind = true;
  c.mount("/sys", {.fs_type = "sysfs"}).attributes.set = ro | nosuid | nodev | noexec;
  c.mount("/dev/mqueue", {.fs_type = "mqueue"}).attributes.set = nosuid | nodev | noexec;
  c.directory("closed/inner", 0755);
  c.file("closed/inner/file", "text");
  chmod(c.at("closed").c_str(), 0700);  // init could not reach it by itself
  c.bind(c.at("closed/inner"), "/volume").attributes.set = ro;
  c.owner("root", 100000, 100000);
  c.plan.rootfs.masked_paths = {"/proc/keys", "/sys/firmware"};
  c.plan.rootfs.readonly_paths = {"/proc/sys"};
  c.plan.rootfs.readonly = true;
  return c.run([]() -> Verdict {
    EXPECT_EQ(read_text("/volume/file"), "text");
    EXPECT_EQ(options_of("/volume"), "ro");
    EXPECT(stat_of("/dev/null").st_rdev == makedev(1, 3));
    EXPECT_EQ(write_text("/dev/null"), "");
    EXPECT_EQ(filesystem_of("/sys"), SYSFS_MAGIC);
    EXPECT_EQ(filesystem_of("/dev/pts"), DEVPTS_SUPER_MAGIC);
    EXPECT(stat_of("/proc/keys").st_rdev == makedev(1, 3));
    EXPECT(options_of("/proc/sys").starts_with("ro"));
    EXPECT_EQ(write_text("/x"), "Read-only file system");
    return "";
  });
}

Verdict unreachable_root_in_user_namespace() {
  Container c;
  c.directory("locked/root");
  c.owner("locked/root", 100000, 100000);
  chmod(c.at("locked").c_str(), 0700);
  c.plan.rootfs.path = c.at("locked/root");
  c.file("locked/root/marker", "here");
  c.mount("/proc", {.fs_type = "proc"});
  c.namespaces |= CLONE_NEWUSER;
  c.plan.namespaces.new_user = true;
  return c.run([]() -> Verdict {
    EXPECT_EQ(read_text("/marker"), "here");
    EXPECT_EQ(filesystem_of("/proc"), PROC_SUPER_MAGIC);
    EXPECT_EQ(mountinfo_lines(), 2);
    return "";
  });
}

Verdict views_without_own_namespaces() {
  Container c;
  c.namespaces = CLONE_NEWUSER | CLONE_NEWNS;  // the caller's pid, net and ipc
  c.plan.namespaces.own[static_cast<size_t>(vessel::NamespaceKind::pid)] = 0;
  c.plan.namespaces.own[static_cast<size_t>(vessel::NamespaceKind::ipc)] = 0;
  c.plan.namespaces.new_user = true;
  c.owner("root", 100000, 100000);
  c.mount("/sys", {.fs_type = "sysfs"}).attributes.set = ro | nosuid;
  c.mount("/proc", {.fs_type = "proc"});
  return c.run([]() -> Verdict {
    EXPECT_EQ(filesystem_of("/sys"), SYSFS_MAGIC);
    EXPECT(options_of("/sys").starts_with("ro,nosuid"));
    EXPECT_EQ(filesystem_of("/proc"), PROC_SUPER_MAGIC);
    return "";
  });
}

Verdict cgroup_view(bool own_namespace, bool readonly) {
  Container c;
  c.usual();
  c.layout = vessel::CgroupLayout::hybrid;
  if (filesystem_of("/sys/fs/cgroup") == CGROUP2_SUPER_MAGIC) c.layout = vessel::CgroupLayout::v2;
  if (own_namespace) {
    c.namespaces |= CLONE_NEWCGROUP;
    c.plan.namespaces.own[static_cast<size_t>(vessel::NamespaceKind::cgroup)] = 1;
  }
  vessel::MountStep step;
  step.destination = "/sys/fs/cgroup";
  step.index = 3;
  step.what = vessel::CgroupMount{readonly};
  step.attributes.set = nosuid | nodev | noexec;
  c.plan.rootfs.mounts.push_back(step);
  const bool unified = c.layout == vessel::CgroupLayout::v2;
  return c.run([=]() -> Verdict {
    const std::string wanted = std::string(readonly ? "ro" : "rw") + ",nosuid,nodev,noexec";
    EXPECT_EQ(options_of("/sys/fs/cgroup"), wanted);
    if (unified) {
      EXPECT_EQ(filesystem_of("/sys/fs/cgroup"), CGROUP2_SUPER_MAGIC);
      return "";
    }
    EXPECT_EQ(filesystem_of("/sys/fs/cgroup"), TMPFS_MAGIC);
    EXPECT_EQ(filesystem_of("/sys/fs/cgroup/memory"), CGROUP_SUPER_MAGIC);
    EXPECT_EQ(options_of("/sys/fs/cgroup/memory"), wanted);
    EXPECT_EQ(filesystem_of("/sys/fs/cgroup/cpu"), CGROUP_SUPER_MAGIC);
    if (own_namespace)
      EXPECT(mountinfo_of("/sys/fs/cgroup/memory").find(" / /sys/fs/cgroup/memory") !=
             std::string::npos);
    return "";
  });
}

}  // namespace

std::vector<Case> mount_cases() {
  return {
      {"every kind of mount and its options", [] { return every_kind([] {}); }},
      {"every kind without mount_setattr (ENOSYS)",
       [] { return every_kind([] { refuse_call(SYS_mount_setattr, ENOSYS); }); }},
      {"every kind with mount_setattr refused (EPERM)",
       [] { return every_kind([] { refuse_call(SYS_mount_setattr, EPERM); }); }},
      {"every kind without openat2",
       [] { return every_kind([] { refuse_call(SYS_openat2, ENOSYS); }); }},
      {"every kind without close_range",
       [] { return every_kind([] { refuse_call(SYS_close_range, ENOSYS); }); }},
      {"a tmpfs without a mode looks like the directory below", tmpfs_mode},
      {"a wrong option is named", bad_option_is_named},
      {"tmpcopyup", copy_up},
      {"a read-only tmpfs takes targets first", readonly_tmpfs_takes_targets_first},
      {"remount changes options of the mount and of the file system", remounted},
      {"options beyond what fsconfig takes", long_options},
      {"recursive options reach what is mounted below", recursive_options},
      {"id-mapped mounts", id_mapped},
      {"user namespace: devices by bind, sources by the parent", user_namespace},
      {"user namespace: a root that init cannot reach", unreachable_root_in_user_namespace},
      {"user namespace: the caller's sysfs and proc without own namespaces",
       views_without_own_namespaces},
      {"cgroup view, own namespace", [] { return cgroup_view(true, false); }},
      {"cgroup view, own namespace, read-only", [] { return cgroup_view(true, true); }},
      {"cgroup view by bind", [] { return cgroup_view(false, false); }},
      {"cgroup view by bind, read-only", [] { return cgroup_view(false, true); }},
  };
}

}  // namespace rootfs_test
