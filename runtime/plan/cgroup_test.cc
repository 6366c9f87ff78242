#include <doctest/doctest.h>

#include "runtime/plan/plan_test_host.hh"

using namespace vessel;

namespace {

CgroupPlan cgroup(const std::string& more, const HostFacts& host = test_host()) {
  const TestPlan t = test_plan(more, host);
  CHECK(t.problems.empty());
  return t.plan.cgroup;
}

std::string rules(const std::string& devices) {
  std::string text;
  for (const oci::DeviceRule& r :
       cgroup(R"("linux": {"resources": {"devices": )" + devices + "}}").resources.devices) {
    const auto number = [](const std::optional<int64_t>& n) {
      return n ? std::to_string(*n) : std::string("*");
    };
    text += (r.allow ? "+" : "-") + (r.type.empty() ? "a" : r.type) + number(r.major) + ":" +
            number(r.minor) + r.access + " ";
  }
  return text;
}

constexpr const char* defaults =
    "+c*:*m +b*:*m +c1:3rwm +c1:8rwm +c1:7rwm +c5:0rwm +c1:5rwm +c1:9rwm +c136:*rwm +c5:2rwm "
    "+c10:200rwm ";

TestPlan systemd(const std::string& more, const HostFacts& host = test_host()) {
  PlanOptions options = test_options();
  options.systemd_cgroup = true;
  return test_plan(more, host, options);
}

}  // namespace

TEST_CASE("cgroup: path") {
  const auto path = [](const char* p) {
    return cgroup(std::string(R"("linux": {"cgroupsPath": ")") + p + "\"}").path;
  };
  CHECK(cgroup("").path == "c1");
  CHECK(path("") == "c1");
  CHECK(path("/a/b") == "/a/b");
  CHECK(path("a/b/") == "a/b");
  CHECK(path("/a/../../b") == "/b");
  CHECK(path("../../b") == "b");
  CHECK(test_plan(R"("linux": {"cgroupsPath": "/"})").problems ==
        Texts{"linux.cgroupsPath: must not be the root of the hierarchy"});
  CHECK(test_plan(R"("linux": {"cgroupsPath": ".."})").problems.size() == 1);
  HostFacts none = test_host();
  none.cgroup_layout = CgroupLayout::none;
  CHECK(cgroup("", none).driver == CgroupDriver::none);
  HostFacts user = test_host();
  user.euid = 1000;
  CHECK(cgroup("", user).optional);
}

TEST_CASE("cgroup: systemd units") {
  const auto unit = [](const char* path) {
    const SystemdUnitPlan u =
        *systemd(std::string(R"("linux": {"cgroupsPath": ")") + path + "\"}").plan.cgroup.systemd;
    return u.slice + " " + u.unit;
  };
  CHECK(unit("") == "system.slice vessel-c1.scope");
  CHECK(unit("machine.slice:libpod:abc") == "machine.slice libpod-abc.scope");
  CHECK(unit(":docker:x") == "system.slice docker-x.scope");
  CHECK(unit("a.slice::x") == "a.slice x.scope");
  CHECK(unit("a.slice:p:b.slice") == "a.slice b.slice");
  for (const char* bad : {"/a/b", "a:b", "a:b:c:d", "a.slice:p:", "system:p:n"}) {
    CAPTURE(bad);
    CHECK(systemd(std::string(R"("linux": {"cgroupsPath": ")") + bad + "\"}").problems.size() == 1);
  }
  const TestPlan t = systemd(R"("annotations": {"org.systemd.property.TimeoutStopUSec": "uint64 1",
      "run.oci.systemd.subgroup": "sub", "run.oci.delegate-cgroup": "d", "other": "x"})");
  CHECK(t.problems.empty());
  CHECK(t.plan.cgroup.systemd->properties ==
        std::map<std::string, std::string>{{"TimeoutStopUSec", "uint64 1"}});
  CHECK(t.plan.cgroup.systemd->subgroup == "sub");
  CHECK(t.plan.cgroup.delegate == "d");
  CHECK(systemd(R"("annotations": {"org.systemd.property.A1": "x"})").problems.size() == 1);
}

TEST_CASE("cgroup: annotations name cgroups below the container's, not paths to others") {
  for (const char* bad : {"..", ".", "a/b", "../../system.slice", "/", "a\\n"}) {
    CAPTURE(bad);
    const std::string value = "\": \"" + std::string(bad) + "\"}";
    CHECK(test_plan("\"annotations\": {\"run.oci.delegate-cgroup" + value).problems ==
          Texts{R"(annotations["run.oci.delegate-cgroup"]: expected one name without "/")"});
    CHECK(systemd("\"annotations\": {\"run.oci.systemd.subgroup" + value).problems ==
          Texts{R"(annotations["run.oci.systemd.subgroup"]: expected one name without "/")"});
  }
}

TEST_CASE("cgroup: device rules") {
  CHECK(rules("[]") == std::string("-a*:*rwm ") + defaults);
  CHECK(rules(R"([{"allow": false, "access": "rwm"}])") == std::string("-a*:*rwm ") + defaults);
  CHECK(rules(R"([{"allow": false, "access": "rwm"},
      {"allow": true, "type": "c", "major": 10, "minor": -1, "access": "r"},
      {"allow": false, "type": "c", "major": 1, "minor": 3, "access": "w"}])") ==
        std::string("-a*:*rwm +c10:*r ") + defaults + "-c1:3w ");
  CHECK(rules(R"([{"allow": true, "access": "rwm"}])") == std::string(defaults) + "+a*:*rwm ");
  CHECK(rules(R"([{"allow": true, "type": "b", "major": 8, "minor": 0, "access": "rw"}])") ==
        std::string("-a*:*rwm +b8:0rw ") + defaults);
}

TEST_CASE("cgroup: what cannot work") {
  const auto problems = [](const std::string& resources, const HostFacts& host = test_host()) {
    return test_plan(R"("linux": {"resources": )" + resources + "}", host).problems;
  };
  CHECK(problems(R"({"memory": {"limit": 10, "swap": 5}})") ==
        Texts{"linux.resources.memory.swap: is memory and swap together: must not be below "
              "memory.limit"});
  CHECK(problems(R"({"memory": {"swap": 5}})").size() == 1);
  CHECK(problems(R"({"memory": {"limit": 10, "swap": -1}})").empty());
  CHECK(problems(R"({"memory": {"limit": 0, "swap": 0, "swappiness": 101}})").size() == 1);
  CHECK(problems(R"({"cpu": {"quota": 5, "burst": 6}})").size() == 1);
  CHECK(problems(R"({"cpu": {"cpus": "0-", "mems": "a"}})").size() == 2);
  CHECK(problems(R"({"unified": {"a/b": "1"}})").size() == 1);
  HostFacts old = test_host();
  old.cgroup_layout = CgroupLayout::v1;
  old.kernel_major = 5, old.kernel_minor = 13;
  CHECK(problems(R"({"unified": {"a": "1"}, "cpu": {"burst": 1, "idle": 1}})", old) ==
        Texts{"host: linux.resources.unified: needs a cgroup v2 hierarchy",
              "host: linux.resources.cpu.burst: needs Linux 5.14",
              "host: linux.resources.cpu.idle: needs Linux 5.15"});
}

TEST_CASE("cgroup: ownership") {
  const auto chowned = [](const char* options, const char* namespaces, CgroupLayout layout) {
    HostFacts host = test_host();
    host.cgroup_layout = layout;
    return cgroup(std::string(R"("mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup",
        "source": "cgroup", "options": [)") +
                      options + R"(]}], "linux": {"namespaces": [)" + namespaces + "]}",
                  host)
        .chown_to_container;
  };
  CHECK(chowned("", R"({"type": "cgroup"})", CgroupLayout::v2));
  CHECK_FALSE(chowned(R"("ro")", R"({"type": "cgroup"})", CgroupLayout::v2));
  CHECK_FALSE(chowned("", R"({"type": "cgroup", "path": "/c"})", CgroupLayout::v2));
  CHECK_FALSE(chowned("", "", CgroupLayout::v2));
  CHECK_FALSE(chowned("", R"({"type": "cgroup"})", CgroupLayout::hybrid));
}
