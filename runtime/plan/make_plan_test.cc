#include "runtime/plan/make_plan.hh"

#include <doctest/doctest.h>

#include "oci-spec/format_error.hh"
#include "runtime/plan/plan_test_host.hh"

using namespace vessel;

TEST_CASE("plan: the default bundle") {
  const Plan plan = make_plan(test_config(R"("linux": {"namespaces": [{"type": "pid"},
      {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]},
      "hostname": "h", "root": {"path": "rootfs", "readonly": true})"),
                              test_host(), test_options());
  CHECK(plan.id == "c1");
  CHECK(plan.hostname == "h");
  CHECK(plan.rootfs.path == "/bundle/rootfs");
  CHECK(plan.rootfs.readonly);
  CHECK(plan.rootfs.root_switch == RootSwitch::pivot);
  CHECK(plan.rootfs.propagation == Propagation::rslave);
  CHECK(plan.rootfs.devices.size() == 6);
  CHECK(plan.namespaces.clone_flags ==
        (0x20000000 | 0x40000000 | 0x08000000 | 0x04000000 | 0x20000));
  CHECK_FALSE(plan.namespaces.needs_helper);
  CHECK(plan.cgroup.path == "c1");
  CHECK(plan.process.umask == 022);
  CHECK(plan.process.set_home);
  CHECK_FALSE(plan.rootless);
  CHECK(plan.warnings.empty());
}

TEST_CASE("plan: all problems in one error, named after the file") {
  try {
    make_plan(test_config(R"("hostname": "h", "linux": {"sysctl": {"vm.swappiness": "1"}})"),
              test_host(), test_options());
    FAIL("no error");
  } catch (const oci::FormatError& e) {
    CHECK(e.file() == "/bundle/config.json");
    REQUIRE(e.problems().size() == 2);
    CHECK(e.problems()[0].text() == "hostname: needs a uts namespace in linux.namespaces");
    CHECK(e.problems()[1].text() ==
          "linux.sysctl[\"vm.swappiness\"]: is not in a namespace and would change the host");
  }
}

TEST_CASE("plan: what is required and the version") {
  const auto problems = [](const char* json) {
    std::vector<PlanProblem> list;
    try_plan(oci::read_config(json, "f"), test_host(), test_options(), list);
    std::vector<std::string> texts;
    for (const PlanProblem& p : list) texts.push_back(p.text());
    return texts;
  };
  CHECK(problems(R"({"ociVersion": "1.0.2-dev"})") ==
        std::vector<std::string>{"root: is required"});
  for (const char* bad :
       {"", "1", "1.0", "1.0.x", "01.0.0", "1.0.0-", "1.0.0+", "2.0.0", "v1.0.0"}) {
    CAPTURE(bad);
    const auto list = problems(("{\"ociVersion\": \"" + std::string(bad) + "\"}").c_str());
    CHECK(list.size() == 2);
    CHECK(list[0].starts_with("ociVersion: "));
  }
  for (const char* good : {"1.0.0", "1.3.0-rc.1+dev", "1.99.0"}) {
    CAPTURE(good);
    CHECK(problems(("{\"ociVersion\": \"" + std::string(good) + "\"}").c_str()).size() == 1);
  }
}
