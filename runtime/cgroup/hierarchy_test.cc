#include "runtime/cgroup/hierarchy.hh"

#include <doctest/doctest.h>

using namespace vessel;

TEST_CASE("hierarchies from the names in /sys/fs/cgroup") {
  auto found = hierarchies_of_names(
      "/sys/fs/cgroup", {"cpu,cpuacct", "devices", "systemd", "unified", "net_cls,net_prio"});
  REQUIRE(found.size() == 5);
  CHECK(found[0].key == "devices");
  CHECK(found[1].key == "cpu,cpuacct");
  CHECK(found[1].mount == "/sys/fs/cgroup/cpu,cpuacct");
  CHECK(found[2].key == "name=systemd");
  CHECK(found[3].v2());
  CHECK(hierarchy_has(found[1].key, "cpuacct"));
  CHECK(!hierarchy_has(found[1].key, "cpuset"));
}

TEST_CASE("hierarchies from mountinfo") {
  auto found = hierarchies_of_mountinfo(
      "30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n"
      "31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
      "32 30 0:28 /docker/x /cg\\040roups/memory rw shared:9 - cgroup cgroup rw,memory\n"
      "33 30 0:29 / /cg/systemd rw - cgroup none rw,xattr,name=systemd\n"
      "34 30 0:28 / /second/memory rw - cgroup cgroup rw,memory\n"
      "35 30 0:30 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
  REQUIRE(found.size() == 4);
  CHECK(found[0].v2());
  CHECK(found[1].mount == "/cg roups/memory");
  CHECK(found[1].mount_root == "/docker/x");
  CHECK(found[2].key == "name=systemd");
  CHECK(found[3].key == "cpu,cpuacct");
}

TEST_CASE("where a process is") {
  auto process = parse_proc_cgroup(
      "4:memory:/docker/x/y\n2:cpuacct,cpu:/a\n1:name=systemd:/\n0::/user.slice/s:1\n");
  CHECK(directory_in({"memory", "/m", "/docker/x"}, process) == "/m/y");
  CHECK(directory_in({"cpu,cpuacct", "/c", "/"}, process) == "/c/a");
  CHECK(directory_in({"name=systemd", "/s", "/"}, process) == "/s");
  CHECK(directory_in({"", "/u", "/"}, process) == "/u/user.slice/s:1");
  CHECK(directory_in({"pids", "/p", "/"}, process) == "");
}
