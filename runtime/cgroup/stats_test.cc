#include "runtime/cgroup/stats.hh"

#include <doctest/doctest.h>

using namespace vessel;

TEST_CASE("statistics in runc's shape") {
  CHECK(stats_json({}) ==
        R"({"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},)"
        R"("cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,)"
        R"("memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,)"
        R"("sched_load_balance":0,"sched_relax_domain_level":0},)"
        R"("memory":{"usage":{"limit":0,"failcnt":0},"swap":{"limit":0,"failcnt":0},)"
        R"("kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},)"
        R"("pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null})");
  CgroupStats s;
  s.cpu.total = 5;
  s.cpu.percpu = {2, 3};
  s.cpu.periods = 1;
  s.memory.raw["anon"] = 4096;
  s.memory.usage = {100, 50, 60, 1};
  s.memory.pressure.emplace().some = {0.5, 0, 1.25, 9};
  s.pids_current = 2;
  s.blkio.serviced = {{8, 0, "Read", 7}};
  s.hugetlb["2MB"] = {1, 2, 0};
  std::string json = stats_json(s);
  auto has = [&](std::string_view part) { return json.find(part) != std::string::npos; };
  CHECK(
      has(R"("usage":{"total":5,"percpu":[2,3],"kernel":0,"user":0},"throttling":{"periods":1})"));
  CHECK(has(R"("usage":{"limit":100,"usage":50,"max":60,"failcnt":1})"));
  CHECK(has(R"("raw":{"anon":4096})"));
  CHECK(has(R"("psi":{"some":{"avg10":0.5,"avg60":0,"avg300":1.25,"total":9})"));
  CHECK(has(R"("pids":{"current":2})"));
  CHECK(has(R"("ioServicedRecursive":[{"major":8,"op":"Read","value":7}])"));
  CHECK(has(R"("hugetlb":{"2MB":{"usage":1,"max":2,"failcnt":0}})"));
}
