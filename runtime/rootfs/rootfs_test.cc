#include <doctest/doctest.h>

#include "runtime/rootfs/host_views.hh"
#include "runtime/rootfs/rootfs.hh"
#include "runtime/rootfs/self_cgroups.hh"
#include "runtime/sys/error.hh"

#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

TEST_CASE("cgroup hierarchies of this process, as mounted under a root") {
  char name[] = "/tmp/vessel-cgroups-XXXXXX";
  const std::string root = mkdtemp(name);
  for (const char* directory : {"cpu,cpuacct", "systemd", "unified", "memory/a/b", "net_cls"})
    std::filesystem::create_directories(root + "/" + directory);
  const std::string text =
      "9:cpu,cpuacct:/top/a\n8:memory:/outer/a/b\n7:net_cls,net_prio:/\n4:freezer:/x\n"
      "1:name=systemd:/a\n0::/u\n";
  const auto found =
      vessel::self_cgroups(text, {{"cpu,cpuacct", "/known"}, {"", "/v2"}}, root, "unified");
  REQUIRE(found.size() == 5);  // freezer is not mounted
  CHECK(found[0].directory == "cpu,cpuacct");
  CHECK(found[0].host_path == "/known");
  CHECK(found[1].host_path == root + "/memory/a/b");  // the mount shows only the part below /outer
  CHECK(found[2].directory == "net_cls,net_prio");
  CHECK(found[2].host_path == root + "/net_cls");
  CHECK(found[3].directory == "systemd");
  CHECK(found[3].controllers == "name=systemd");
  CHECK(found[4].directory == "unified");
  CHECK(found[4].controllers.empty());
  CHECK(found[4].host_path == "/v2");
  const auto known = vessel::known_cgroups(
      {{"", "/v2"}, {"cpu,cpuacct", "/a"}, {"name=systemd", "/b"}}, "unified");
  REQUIRE(known.size() == 3);
  CHECK(known[0].directory == "unified");
  CHECK(known[0].controllers.empty());
  CHECK(known[0].host_path == "/v2");
  CHECK(known[1].directory == "cpu,cpuacct");
  CHECK(known[1].controllers == "cpu,cpuacct");
  CHECK(known[2].directory == "systemd");
  CHECK(known[2].controllers == "name=systemd");
  CHECK(known[2].host_path == "/b");
  CHECK_THROWS_AS(vessel::self_cgroups("garbage\n", {}, root, "unified"), vessel::Error);
  CHECK_THROWS_AS(vessel::self_cgroups("1:cpu:relative\n", {}, root, "unified"), vessel::Error);
  std::filesystem::remove_all(root);
}

TEST_CASE("whole proc and sysfs mounts outside the root") {
  const std::string text =
      "22 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw\n"
      "23 1 0:21 / /sys rw - sysfs sysfs rw\n"
      "24 1 0:20 /sys /ro\\040sys rw - proc proc rw\n"
      "25 1 0:22 / /with\\040space\\134 rw - proc proc rw\n"
      "26 1 0:23 / /c/root/proc rw - proc proc rw\n"
      "27 1 0:23 / /c/rootless/proc rw - proc proc rw\n"
      "28 1 0:24 / /dev rw - tmpfs proc rw\nshort line\n";
  const auto found = vessel::full_host_views(text, "/c/root");
  REQUIRE(found.size() == 4);
  CHECK(found[0] == "/proc");
  CHECK(found[1] == "/sys");
  CHECK(found[2] == "/with space\\");
  CHECK(found[3] == "/c/rootless/proc");
}

TEST_CASE("which sources the parent opens") {
  vessel::Plan plan;
  plan.rootfs.mounts.resize(4);
  plan.rootfs.mounts[0].what = vessel::FilesystemMount{.fs_type = "proc"};
  plan.rootfs.mounts[1].what = vessel::BindMount{.source = "/a"};
  plan.rootfs.mounts[2].what = vessel::BindMount{.source = "/b"};
  plan.rootfs.mounts[2].idmap = vessel::MountIdmap{};
  plan.rootfs.mounts[3].what = vessel::CgroupMount{};
  CHECK(vessel::served_sources(plan) == std::vector<size_t>{2});
  plan.namespaces.new_user = true;
  CHECK(vessel::served_sources(plan) == std::vector<size_t>{1, 2});
  plan.rootless = true;  // the caller may not clone mounts either
  CHECK(vessel::served_sources(plan) == std::vector<size_t>{2});
}

TEST_CASE("mount attributes as flags and as words") {
  CHECK(vessel::mount_flags_of(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV) == (MS_RDONLY | MS_NODEV));
  CHECK(vessel::mount_flags_of(MOUNT_ATTR_NOATIME) == MS_NOATIME);
  CHECK(vessel::mount_attribute_names(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID) == "ro,nosuid");
  CHECK(vessel::mount_attribute_names(0) == "rw");
}
