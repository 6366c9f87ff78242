#include <doctest/doctest.h>

#include "runtime/plan/plan_test_host.hh"

using namespace vessel;

namespace {

TestPlan rdt(const std::string& members, bool mounted = true, const std::string& id = "c1") {
  HostFacts host = test_host();
  host.resctrl = mounted;
  PlanOptions options = test_options();
  options.id = id;
  return test_plan("\"linux\": {\"intelRdt\": {" + members + "}}", host, options);
}

}  // namespace

TEST_CASE("Intel RDT without resctrl says what is missing") {
  auto problems = rdt("", false).problems;
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].starts_with("host: linux.intelRdt: no resctrl file system is mounted"));
  CHECK(problems[0].find("CONFIG_X86_CPU_RESCTRL") != std::string::npos);
  CHECK(problems[0].find("mount -t resctrl resctrl /sys/fs/resctrl") != std::string::npos);
  CHECK_FALSE(test_plan("").plan.intel_rdt);
}

TEST_CASE("Intel RDT: which group") {
  auto own = rdt("").plan.intel_rdt;
  REQUIRE(own);
  CHECK(own->group == "c1");
  CHECK_FALSE(own->named);
  CHECK(own->schemata.empty());
  CHECK(own->mon_group.empty());

  auto named = rdt(R"("closID": "gold", "enableMonitoring": true)").plan.intel_rdt;
  CHECK(named->group == "gold");
  CHECK(named->named);
  CHECK(named->mon_group == "c1");

  auto root = rdt(R"("closID": "/", "schemata": ["L3:0=1"])");
  CHECK(root.problems.empty());
  CHECK(root.plan.intel_rdt->group.empty());
  CHECK(root.plan.intel_rdt->named);
}

TEST_CASE("Intel RDT: schemata in the specification's order") {
  auto plan = rdt(R"("schemata": ["L2:0=f", "MB:0=30"], "memBwSchema": "MB:0=20",
                     "l3CacheSchema": "L3:0=ff")")
                  .plan.intel_rdt;
  CHECK(plan->schemata == Texts{"L3:0=ff", "MB:0=20", "L2:0=f", "MB:0=30"});
}

TEST_CASE("Intel RDT: names and lines that cannot be") {
  for (const char* bad : {"a/b", "..", ".", "/a", "info", "mon_groups", "mon_data"}) {
    CAPTURE(bad);
    CHECK(rdt("\"closID\": \"" + std::string(bad) + "\"").problems.size() == 1);
  }
  CHECK(
      rdt("", true, "info").problems ==
      Texts{"linux.intelRdt.closID: is needed: the container's id is no name for a resctrl group"});
  CHECK(rdt(R"("closID": "a", "schemata": ["L3:0=1\n"], "memBwSchema": "MB:\n",
               "l3CacheSchema": "L3:0=1\nMB:0=1")")
            .problems.size() == 3);
}
