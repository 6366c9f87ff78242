#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/plan/mount_options.hh"
#include "runtime/plan/plan_test_host.hh"
#include "runtime/plan/rooms.hh"

using namespace vessel;

namespace {

constexpr const char* mount_ns = R"("linux": {"namespaces": [{"type": "mount"}]})";

TestPlan mount_plan(const std::string& mount, const HostFacts& host = test_host(),
                    const char* linux_ = mount_ns) {
  return test_plan(std::string(linux_) + ", \"mounts\": [" + mount + "]", host);
}

MountStep step(const std::string& mount) {
  const TestPlan t = mount_plan(mount);
  CHECK(t.problems.empty());
  return t.plan.rootfs.mounts.at(0);
}

}  // namespace

TEST_CASE("mount options: attributes, their opposites and the order") {
  struct Row {
    Texts options;
    uint64_t set, clear;
  };
  const Row rows[] = {
      {{}, 0, 0},
      {{"defaults"}, 0, 0},
      {{"ro"}, mount_attr_rdonly, 0},
      {{"rw"}, 0, mount_attr_rdonly},
      {{"ro", "rw"}, 0, mount_attr_rdonly},
      {{"rw", "ro"}, mount_attr_rdonly, 0},
      {{"nosuid", "nodev", "noexec"}, mount_attr_nosuid | mount_attr_nodev | mount_attr_noexec, 0},
      {{"suid", "dev", "exec"}, 0, mount_attr_nosuid | mount_attr_nodev | mount_attr_noexec},
      {{"nodiratime"}, mount_attr_nodiratime, 0},
      {{"diratime"}, 0, mount_attr_nodiratime},
      {{"nosymfollow"}, mount_attr_nosymfollow, 0},
      {{"symfollow"}, 0, mount_attr_nosymfollow},
      {{"noatime"}, mount_attr_noatime, mount_attr_atime},
      {{"strictatime"}, mount_attr_strictatime, mount_attr_atime},
      {{"relatime"}, 0, mount_attr_atime},
      {{"atime"}, 0, mount_attr_atime},
      {{"norelatime"}, 0, mount_attr_atime},
      {{"noatime", "atime"}, 0, mount_attr_atime},
      {{"noatime", "strictatime"}, mount_attr_strictatime, mount_attr_atime},
      {{"noatime", "strictatime", "nostrictatime"}, mount_attr_noatime, mount_attr_atime},
  };
  for (const Row& row : rows) {
    std::string text;
    for (const auto& o : row.options) text += o + ",";
    CAPTURE(text);
    const MountOptions parsed = parse_mount_options(row.options);
    CHECK(parsed.attributes.set == row.set);
    CHECK(parsed.attributes.clear == row.clear);
    CHECK(parsed.recursive.empty());
    CHECK(parsed.data.empty());
    // Every one of them has a recursive form with the same meaning.
    Texts recursive;
    for (const auto& o : row.options)
      if (o != "defaults") recursive.push_back("r" + o);
    const MountOptions r = parse_mount_options(recursive);
    CHECK(r.recursive.set == row.set);
    CHECK(r.recursive.clear == row.clear);
    CHECK(r.attributes.empty());
    CHECK(r.data.empty());
  }
}

TEST_CASE("mount options: every name of the spec is known") {
  for (const char* name :
       {"async",          "atime",      "bind",         "defaults",    "dev",
        "diratime",       "dirsync",    "exec",         "iversion",    "lazytime",
        "loud",           "mand",       "noatime",      "nodev",       "nodiratime",
        "noexec",         "noiversion", "nolazytime",   "nomand",      "norelatime",
        "nostrictatime",  "nosuid",     "nosymfollow",  "private",     "ratime",
        "rbind",          "rdev",       "rdiratime",    "relatime",    "remount",
        "rexec",          "rnoatime",   "rnodiratime",  "rnoexec",     "rnorelatime",
        "rnostrictatime", "rnosuid",    "rnosymfollow", "ro",          "rprivate",
        "rrelatime",      "rro",        "rrw",          "rshared",     "rslave",
        "rstrictatime",   "rsuid",      "rsymfollow",   "runbindable", "rw",
        "shared",         "silent",     "slave",        "strictatime", "suid",
        "symfollow",      "sync",       "tmpcopyup",    "unbindable",  "idmap",
        "ridmap",         "rnodev"}) {
    CAPTURE(name);
    CHECK(parse_mount_options({name}).data.empty());
    const auto known = known_mount_options();
    CHECK(std::count(known.begin(), known.end(), name) == 1);
  }
}

TEST_CASE("mount options: propagation, superblock flags, data and what only mount(8) reads") {
  CHECK(parse_mount_options({"rslave"}).propagation == Propagation::rslave);
  const MountOptions two = parse_mount_options({"shared", "rprivate"});
  CHECK(two.propagation == Propagation::rprivate);
  CHECK(two.propagation_twice);
  CHECK(parse_mount_options({"sync", "lazytime", "async"}).superblock_flags == Texts{"lazytime"});
  CHECK(parse_mount_options({"nofail", "x-systemd.automount", "_netdev", "user"}).data.empty());
  const MountOptions data = parse_mount_options({"mode=755,size=64k", "newinstance", "a=b=c"});
  REQUIRE(data.data.size() == 4);
  CHECK(data.data[0] == std::pair<std::string, std::optional<std::string>>{"mode", "755"});
  CHECK(data.data[1].second == "64k");
  CHECK_FALSE(data.data[2].second);
  CHECK(data.data[3].second == "b=c");
  CHECK(parse_mount_options({"lowerdir=/a\\,b:/c"}).data.size() == 1);
  CHECK(parse_mount_options({"context=\"u:r:t:s0:c1,c2\""}).data.size() == 1);
}

TEST_CASE("mounts: file systems") {
  const MountStep s = step(R"({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
      "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "gid=5", "sync"]})");
  const auto& fs = std::get<FilesystemMount>(s.what);
  CHECK(fs.fs_type == "devpts");
  CHECK(fs.options.size() == 4);
  CHECK(s.attributes.set == (mount_attr_nosuid | mount_attr_noexec));
  CHECK_FALSE(s.no_symlink_at_target);
  CHECK(step(R"({"destination": "/proc", "type": "proc"})").no_symlink_at_target);
  CHECK(step(R"({"destination": "/sys", "type": "sysfs"})").no_symlink_at_target);
  const auto source = [](const char* mount) {
    return std::get<FilesystemMount>(step(mount).what).source;
  };
  CHECK(source(R"({"destination": "/t", "type": "tmpfs"})") == "tmpfs");
  CHECK(source(R"({"destination": "/t", "type": "tmpfs", "source": "shm"})") == "shm");
  const auto readonly = [](const char* type) {
    const MountStep m =
        step(std::string(R"({"destination": "/t", "options": ["ro"], "type": ")") + type + "\"}");
    CHECK((m.attributes.set & mount_attr_rdonly) != 0);
    return std::get<FilesystemMount>(m.what).readonly_superblock;
  };
  CHECK_FALSE(readonly("tmpfs"));
  CHECK_FALSE(readonly("sysfs"));
  CHECK(readonly("ext4"));
  CHECK(std::get<FilesystemMount>(
            step(R"({"destination": "/t", "type": "tmpfs", "options": ["tmpcopyup"]})").what)
            .copy_up);
}

TEST_CASE("mounts: the label's option is an annotation's choice") {
  HostFacts host = test_host();
  host.selinux = true;
  const auto option = [&](const std::string& annotation) {
    const TestPlan t = test_plan(
        R"("mounts": [{"destination": "/t", "type": "tmpfs", "source": "t"}],
           "linux": {"mountLabel": "system_u:object_r:t:s0:c1,c2"}, "annotations": {)" +
            annotation + "}",
        host);
    if (!t.problems.empty()) return t.problems[0];
    const auto& fs = std::get<FilesystemMount>(t.plan.rootfs.mounts.at(0).what);
    return fs.options.back().first + "=" + fs.options.back().second.value_or("");
  };
  CHECK(option("") == "context=system_u:object_r:t:s0:c1,c2");
  CHECK(option(R"("run.oci.mount_context_type": "rootcontext")") ==
        "rootcontext=system_u:object_r:t:s0:c1,c2");
  CHECK(option(R"("run.oci.mount_context_type": "x")") ==
        "annotations[\"run.oci.mount_context_type\"]: expected context, fscontext, defcontext or "
        "rootcontext");
}

TEST_CASE("mounts: bind mounts") {
  const MountStep s =
      step(R"({"destination": "/d", "source": "data", "options": ["rbind", "rro", "rprivate"]})");
  const auto& bind = std::get<BindMount>(s.what);
  CHECK(bind.source == "/bundle/data");
  CHECK(bind.recursive);
  CHECK(s.recursive_attributes.set == mount_attr_rdonly);
  CHECK(s.propagation == Propagation::rprivate);
  const auto plain = [](const char* more) {
    return std::get<BindMount>(
        step(std::string(R"({"destination": "/d", "source": "/a", )") + more + "}").what);
  };
  CHECK(plain(R"("type": "none", "options": ["bind"])").source == "/a");
  CHECK_FALSE(plain(R"("type": "bind")").recursive);
  CHECK(plain(R"("type": "ext4", "options": ["bind", "nofail", "acl"])").source == "/a");
  const TestPlan odd =
      mount_plan(R"({"destination": "/d", "source": "/a", "options": ["bind", "size=1"]})");
  CHECK(odd.problems.empty());
  CHECK(
      odd.plan.warnings ==
      Texts{"mounts[0].options: a bind mount takes no file system option, \"size=1\" is left out"});
  CHECK(mount_plan(R"({"destination": "/d", "options": ["bind"]})").problems ==
        Texts{"mounts[0].source: is required for a bind mount"});
}

TEST_CASE("mounts: destinations") {
  const TestPlan t = mount_plan(R"({"destination": "a/b", "type": "tmpfs"})");
  CHECK(t.problems.empty());
  CHECK(t.plan.rootfs.mounts[0].destination == "/a/b");
  CHECK(t.plan.warnings ==
        Texts{"mounts[0].destination: relative paths are deprecated, taken as relative to /"});
  CHECK(mount_plan(R"({"destination": "", "type": "tmpfs"})").problems ==
        Texts{"mounts[0].destination: must not be empty"});
  CHECK(mount_plan(R"({"destination": "/a"})").problems ==
        Texts{"mounts[0].type: is required for a mount that is not a bind mount"});
  CHECK(mount_plan(R"({"destination": "/a", "options": ["remount", "ro"]})").problems.empty());
  CHECK(clean_absolute("/a//./b/../c/") == "/a/c");
  CHECK(clean_absolute("../../x") == "/x");
  CHECK(clean_absolute("/..") == "/");
}

TEST_CASE("mounts: id mappings") {
  constexpr const char* own =
      R"({"destination": "/d", "source": "/a", "options": ["rbind", "ridmap"],
      "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}],
      "gidMappings": [{"containerID": 0, "hostID": 6, "size": 1}]})";
  const MountStep s = step(own);
  REQUIRE(s.idmap);
  CHECK(s.idmap->recursive);
  CHECK(s.idmap->uid[0].host_id == 5);
  CHECK(mount_plan(R"({"destination": "/d", "source": "/a", "options": ["bind", "idmap"]})")
            .problems ==
        Texts{"mounts[0].options: idmap without uidMappings and gidMappings needs a user "
              "namespace"});
  const TestPlan joined =
      mount_plan(R"({"destination": "/d", "source": "/a", "options": ["bind", "idmap"]})",
                 test_host(), R"("linux": {"namespaces": [{"type": "user", "path": "/u"}]})");
  CHECK(joined.problems.empty());
  CHECK(joined.plan.rootfs.mounts[0].idmap->uid.empty());
  CHECK(mount_plan(R"({"destination": "/d", "source": "/a", "options": ["bind"],
      "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}]})")
            .problems == Texts{"mounts[0].gidMappings: must be given along with the other one"});
  HostFacts old = test_host();
  old.kernel_major = 5, old.kernel_minor = 11;
  CHECK(mount_plan(own, old).problems ==
        Texts{"host: mounts[0].uidMappings: id-mapped mounts need Linux 5.12"});
  CHECK(mount_plan(R"({"destination": "/d", "type": "tmpfs", "options": ["rro"]})", old).problems ==
        Texts{"host: mounts[0].options: recursive options need Linux 5.12"});
}

TEST_CASE("mounts: id mappings in the option") {
  const auto bind = [](const std::string& option, const char* linux_ = mount_ns) {
    return mount_plan(
        R"({"destination": "/d", "source": "/a", "options": ["rbind", ")" + option + "\"]}",
        test_host(), linux_);
  };
  const TestPlan t = bind("idmap=uids=0-1-10#20-40-5;gids=0-100-10");
  CHECK(t.problems.empty());
  CHECK(t.plan.warnings.empty());
  const MountIdmap& idmap = t.plan.rootfs.mounts.at(0).idmap.value();
  CHECK(idmap.uid == std::vector<oci::IdMapping>{{0, 1, 10}, {20, 40, 5}});
  CHECK(idmap.gid == std::vector<oci::IdMapping>{{0, 100, 10}});
  CHECK_FALSE(idmap.recursive);
  CHECK(bind("ridmap=uids=0-1-1;gids=0-1-1").plan.rootfs.mounts.at(0).idmap->recursive);

  constexpr const char* user = R"("linux": {"namespaces": [{"type": "user"}, {"type": "mount"}],
      "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1},
                      {"containerID": 1, "hostID": 5000, "size": 10}],
      "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]})";
  const TestPlan relative = bind("idmap=uids=@7-3-8;gids=@0-0-1", user);
  CHECK(relative.problems.empty());
  CHECK(relative.plan.rootfs.mounts.at(0).idmap->uid == std::vector<oci::IdMapping>{{7, 5002, 8}});
  CHECK(relative.plan.rootfs.mounts.at(0).idmap->gid == std::vector<oci::IdMapping>{{0, 1000, 1}});
  CHECK(bind("idmap=uids=@0-0-2;gids=@0-0-1", user).problems ==
        Texts{"mounts[0].options: idmap: @0-0-2 is not in one range of the container's user "
              "namespace"});
  for (const char* bad : {"idmap=", "idmap=uids=0-1-10", "idmap=x", "idmap=uids=0-1;gids=0-1-1",
                          "idmap=uids=0-1-1;gids=0-1-4294967296", "idmap=uids=0-1-1#;gids=0-1-1",
                          "idmap=uids=0-1-0;gids=0-1-1", "idmap=uids=-1-1-1;gids=0-1-1"}) {
    CAPTURE(bad);
    CHECK(bind(bad).problems.size() == 1);
  }
}

TEST_CASE("mounts: what would lie on top of the root or restrict nothing") {
  for (const char* root : {"/", ".", "/a/..", "//"}) {
    CAPTURE(root);
    const std::string destination = "{\"destination\": \"" + std::string(root) + "\", ";
    CHECK(mount_plan(destination + R"("type": "tmpfs"})").problems ==
          Texts{"mounts[0].destination: is the root itself: that comes from root.path"});
    CHECK(mount_plan(destination + R"("options": ["remount", "bind", "ro"]})").problems.empty());
  }
  const auto paths = [](const char* member) {
    return test_plan(R"("linux": {"namespaces": [{"type": "mount"}], )" + std::string(member) +
                     "}");
  };
  CHECK(paths(R"("maskedPaths": ["/a", "/"])").problems ==
        Texts{"linux.maskedPaths: the root itself cannot be masked"});
  const TestPlan readonly = paths(R"("readonlyPaths": ["/./", "/a"])");
  CHECK(readonly.problems.empty());
  CHECK(readonly.plan.rootfs.readonly);
  CHECK(readonly.plan.rootfs.readonly_paths == Texts{"/a"});
  CHECK_FALSE(paths(R"("readonlyPaths": ["/a"])").plan.rootfs.readonly);
}

TEST_CASE("mounts: a cgroup tree that is read-only all the way is read-only") {
  const MountStep s =
      step(R"({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["rro", "rnosuid"]})");
  CHECK(std::get<CgroupMount>(s.what).readonly);
  CHECK(s.attributes.set == mount_attr_rdonly);
  CHECK(s.recursive_attributes.set == mount_attr_nosuid);
}

TEST_CASE("mounts: owners outside of a new user namespace") {
  constexpr const char* user = R"("linux": {"namespaces": [{"type": "user"}, {"type": "mount"}],
      "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
      "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]})";
  CHECK(mount_plan(R"({"destination": "/p", "type": "devpts", "options": ["gid=5"]})", test_host(),
                   user)
            .problems == Texts{"mounts[0].options: gid=5 is not mapped in the user namespace"});
  CHECK(mount_plan(R"({"destination": "/p", "type": "devpts", "options": ["gid=0"]})", test_host(),
                   user)
            .problems.empty());
}

TEST_CASE("mounts: the cgroup tree is not writable for a foreign root without its own namespace") {
  constexpr const char* mount =
      R"({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]})";
  const auto readonly = [&](const char* namespaces, const HostFacts& host) {
    const TestPlan t = mount_plan(
        mount, host, (std::string(R"("linux": {"namespaces": [)") + namespaces + "]}").c_str());
    return std::get<CgroupMount>(t.plan.rootfs.mounts.at(0).what).readonly;
  };
  HostFacts user = test_host();
  user.euid = 1000;
  CHECK_FALSE(readonly(R"({"type": "mount"})", test_host()));
  CHECK(readonly(R"({"type": "mount"})", user));
  CHECK_FALSE(readonly(R"({"type": "cgroup"})", user));
  CHECK(readonly(R"({"type": "user", "path": "/u"})", test_host()));
}

TEST_CASE("rootfs: propagation, switching and what needs a mount namespace") {
  const auto plan = [](const char* linux_, bool no_pivot) {
    PlanOptions options = test_options();
    options.no_pivot = no_pivot;
    return test_plan(std::string("\"linux\": ") + linux_, test_host(), options);
  };
  CHECK(plan("{}", false).plan.rootfs.root_switch == RootSwitch::chroot);
  constexpr const char* shared =
      R"({"namespaces": [{"type": "mount"}], "rootfsPropagation": "shared"})";
  CHECK(plan(shared, false).plan.rootfs.propagation == Propagation::shared);
  CHECK(plan(shared, true).plan.rootfs.root_switch == RootSwitch::move);
  CHECK(plan(R"({"rootfsPropagation": "private"})", true).problems ==
        Texts{"linux.rootfsPropagation: private is not safe without pivot_root (--no-pivot)"});
  CHECK(plan(R"({"rootfsPropagation": "x"})", false).problems.size() == 1);
  CHECK(plan(R"({"maskedPaths": ["/a"], "readonlyPaths": ["b"]})", false).problems ==
        Texts{"linux.maskedPaths: needs a mount namespace in linux.namespaces",
              "linux.readonlyPaths: needs a mount namespace in linux.namespaces",
              "linux.readonlyPaths[0]: expected an absolute path"});
}

TEST_CASE("devices: defaults, own ones and a bound /dev") {
  const auto devices = [](const std::string& more, const char* namespaces = R"({"type": "mount"})",
                          const char* mounts = "") {
    return test_plan(R"("linux": {"devices": [)" + more + R"(], "namespaces": [)" + namespaces +
                     R"(]}, "mounts": [)" + mounts + "]");
  };
  const RootfsPlan defaults = devices("").plan.rootfs;
  CHECK(defaults.devices.size() == 6);
  CHECK(defaults.symlinks.size() == 6);
  const TestPlan own = devices(R"({"path": "/dev/null", "type": "u", "major": 1, "minor": 3,
      "fileMode": 8630, "uid": 7, "gid": 8}, {"path": "/p", "type": "p"})");
  CHECK(own.problems.empty());
  REQUIRE(own.plan.rootfs.devices.size() == 7);
  const DeviceStep& null = own.plan.rootfs.devices[5];
  CHECK(null.path == "/dev/null");
  CHECK(null.type == DeviceType::character);
  CHECK(null.mode == 0666);
  CHECK(null.uid == 7);
  CHECK_FALSE(null.by_bind);
  const RootfsPlan user =
      devices(R"({"path": "/p", "type": "p"})", R"({"type": "user", "path": "/u"})").plan.rootfs;
  CHECK(user.devices[0].by_bind);
  CHECK_FALSE(user.devices[6].by_bind);
  const TestPlan bound =
      devices(R"({"path": "/p", "type": "p"})", R"({"type": "mount"})",
              R"({"destination": "/dev/", "source": "/dev", "options": ["rbind"]})");
  CHECK(bound.plan.rootfs.devices.empty());
  CHECK(bound.plan.rootfs.symlinks.empty());
  CHECK(bound.plan.warnings.size() == 1);
  CHECK(devices(R"({"path": "/x", "type": "b", "major": 4096, "minor": -1})").problems ==
        Texts{"linux.devices[0].major: expected 0 to 4095, got 4096",
              "linux.devices[0].minor: expected 0 to 1048575, got -1"});
}
