#include "runtime/cgroup/resources.hh"

#include <doctest/doctest.h>

#include <map>

#include "runtime/sys/error.hh"

using namespace vessel;

namespace {

// A host by its controllers ("cpu" -> v1 or v2) and the files that exist there.
struct Host {
  std::map<std::string, ControllerAt, std::less<>> controllers;
  std::map<std::string, std::string, std::less<>> files;
  bool fresh = true;

  CgroupView view() const {
    return {[this](std::string_view c) {
              auto it = controllers.find(c);
              return it == controllers.end() ? ControllerAt::nowhere : it->second;
            },
            [this](std::string_view, std::string_view f) -> std::optional<std::string> {
              auto it = files.find(f);
              if (it == files.end()) return {};
              return it->second;
            },
            fresh};
  }
};

Host host(ControllerAt at) {
  Host h;
  for (auto c : {"cpu", "cpuset", "memory", "pids", "hugetlb", "rdma"}) h.controllers[c] = at;
  if (at == ControllerAt::v1)
    for (auto c : {"blkio", "net_cls", "net_prio"}) h.controllers[c] = at;
  else
    h.controllers["io"] = h.controllers[""] = at;
  return h;
}

using Lines = std::vector<std::string>;

Lines lines(const oci::Resources& r, const Host& h) {
  Lines out;
  for (const auto& w : resource_writes(r, h.view()).writes)
    out.push_back(w.file + " " + w.value +
                  (w.rule == WriteRule::if_present   ? " ?"
                   : w.rule == WriteRule::retry_last ? " !"
                                                     : ""));
  return out;
}

const Host v1 = host(ControllerAt::v1), v2 = host(ControllerAt::v2);

}  // namespace

TEST_CASE("cpu shares become weights") {
  // The three fixed points, and values that runc's own table gives.
  CHECK(cpu_weight_of_shares(2) == 1);
  CHECK(cpu_weight_of_shares(1024) == 100);
  CHECK(cpu_weight_of_shares(262144) == 10000);
  CHECK(cpu_weight_of_shares(1) == 1);
  CHECK(cpu_weight_of_shares(512) == 59);
  CHECK(cpu_weight_of_shares(2048) == 174);
  CHECK(cpu_weight_of_shares(~0ull) == 10000);
  for (uint64_t s = 3; s < 262144; s = s * 5 / 4 + 1)
    CHECK(cpu_weight_of_shares(s) >= cpu_weight_of_shares(s - 1));
}

TEST_CASE("blkio weights become io weights") {
  CHECK(io_weight_of_blkio(10) == 1);
  CHECK(io_weight_of_blkio(500) == 4950);
  CHECK(io_weight_of_blkio(1000) == 10000);
}

TEST_CASE("memory+swap becomes swap") {
  CHECK(swap_max(0, 100) == std::nullopt);
  CHECK(swap_max(300, 100) == "200");
  CHECK(swap_max(100, 100) == "0");
  CHECK(swap_max(-1, 100) == "max");
  CHECK(swap_max(0, -1) == "max");
  CHECK(swap_max(500, -1) == "500");
  CHECK_THROWS_AS(swap_max(50, 100), Error);
  CHECK_THROWS_AS(swap_max(50, 0), Error);
}

TEST_CASE("cpu") {
  oci::Resources r;
  r.cpu.emplace();
  r.cpu->shares = 2048;
  r.cpu->quota = 50000;
  r.cpu->period = 200000;
  r.cpu->burst = 1000;
  r.cpu->cpus = "0-1";
  r.cpu->mems = "0";
  CHECK(lines(r, v1) == Lines{"cpu.shares 2048", "cpu.cfs_period_us 200000 !",
                              "cpu.cfs_burst_us 1000 !", "cpu.cfs_quota_us 50000",
                              "cpuset.cpus 0-1", "cpuset.mems 0"});
  CHECK(lines(r, v2) == Lines{"cpu.weight 174", "cpu.max.burst 1000 !", "cpu.max 50000 200000",
                              "cpuset.cpus 0-1", "cpuset.mems 0"});

  SUBCASE("unlimited, and one of the two values") {
    r.cpu = oci::CpuLimits{};
    r.cpu->quota = -1;
    CHECK(lines(r, v2) == Lines{"cpu.max max 100000"});
    CHECK(lines(r, v1) == Lines{"cpu.cfs_quota_us -1"});
    Host running = v2;
    running.fresh = false;
    running.files["cpu.max"] = "30000 60000\n";
    r.cpu->quota = 0;
    r.cpu->period = 50000;
    CHECK(lines(r, running) == Lines{"cpu.max 30000 50000"});
    r.cpu->quota = 20000;
    r.cpu->period.reset();
    CHECK(lines(r, running) == Lines{"cpu.max 20000 60000"});
  }
  SUBCASE("idle and weight exclude each other, in this order") {
    r.cpu = oci::CpuLimits{};
    r.cpu->shares = 1024;
    r.cpu->idle = 1;
    CHECK(lines(r, v2) == Lines{"cpu.weight 100", "cpu.idle 1"});
    r.cpu->idle = 0;
    CHECK(lines(r, v2) == Lines{"cpu.idle 0", "cpu.weight 100"});
    CHECK(lines(r, v1) == Lines{"cpu.idle 0", "cpu.shares 1024"});
    r.cpu->idle = 2;
    CHECK_THROWS_WITH_AS(lines(r, v2), "linux.resources.cpu.idle: 2 is neither 0 nor 1", Error);
  }
  SUBCASE("realtime") {
    r.cpu = oci::CpuLimits{};
    r.cpu->realtime_period = 1000000;
    r.cpu->realtime_runtime = 5000;
    CHECK(lines(r, v1) == Lines{"cpu.rt_period_us 1000000 !", "cpu.rt_runtime_us 5000"});
    CHECK(lines(r, v2) == Lines{});
    CHECK(resource_writes(r, v2.view()).warnings.size() == 2);
  }
  SUBCASE("zeros are not set, out of range is an error") {
    r.cpu = oci::CpuLimits{};
    r.cpu->shares = 0;
    r.cpu->quota = 0;
    r.cpu->period = 0;
    r.cpu->realtime_runtime = 0;
    CHECK(lines(r, v1).empty());
    CHECK(lines(r, Host{}).empty());
    r.cpu->shares = 1;
    CHECK_THROWS_WITH_AS(lines(r, v1), "linux.resources.cpu.shares: 1 is not in 2 to 262144",
                         Error);
    CHECK(lines(r, v2) == Lines{"cpu.weight 1"});
  }
}

TEST_CASE("memory") {
  oci::Resources r;
  r.memory.emplace();
  r.memory->limit = 1000;
  r.memory->swap = 3000;
  r.memory->reservation = 500;
  r.memory->swappiness = 7;
  r.memory->disable_oom_killer = true;
  CHECK(lines(r, v1) == Lines{"memory.limit_in_bytes 1000", "memory.memsw.limit_in_bytes 3000",
                              "memory.soft_limit_in_bytes 500", "memory.oom_control 1",
                              "memory.swappiness 7"});
  CHECK(lines(r, v2) == Lines{"memory.swap.max 2000", "memory.max 1000", "memory.low 500"});
  CHECK(resource_writes(r, v2.view()).warnings.size() == 2);

  SUBCASE("v1: the order follows the present limit") {
    r.memory = oci::MemoryLimits{};
    r.memory->limit = 1000;
    r.memory->swap = 3000;
    Host running = v1;
    running.fresh = false;
    running.files["memory.limit_in_bytes"] = "500\n";
    CHECK(lines(r, running) ==
          Lines{"memory.memsw.limit_in_bytes 3000", "memory.limit_in_bytes 1000"});
    running.files["memory.limit_in_bytes"] = "8000\n";
    CHECK(lines(r, running) ==
          Lines{"memory.limit_in_bytes 1000", "memory.memsw.limit_in_bytes 3000"});
  }
  SUBCASE("v1: the limit above that of memory and swap is told so") {
    const auto refused = [&](int64_t limit, int64_t swap, bool fresh, const char* text) {
      r.memory = oci::MemoryLimits{};
      r.memory->limit = limit;
      r.memory->swap = swap;
      Host host = v1;
      host.fresh = fresh;
      host.files["memory.limit_in_bytes"] = "500\n";
      host.files["memory.memsw.limit_in_bytes"] = "800\n";
      CAPTURE(text);
      CHECK_THROWS_WITH_AS(lines(r, host), doctest::Contains(text), Error);
    };
    refused(1000, 0, false, "memory.limit: 1000 is above 800, the limit of memory and swap");
    refused(0, 400, false, "memory.swap: 400 is below 500, the limit of memory, which it includes");
    refused(1000, 900, false, "memory.limit: 1000 is above 900");
    refused(1000, 900, true, "memory.limit: 1000 is above 900");
  }
  SUBCASE("unlimited") {
    r.memory = oci::MemoryLimits{};
    r.memory->limit = -1;
    CHECK(lines(r, v1) == Lines{"memory.memsw.limit_in_bytes -1 ?", "memory.limit_in_bytes -1"});
    CHECK(lines(r, v2) == Lines{"memory.swap.max max ?", "memory.max max"});
  }
  SUBCASE("v2: swap alone is taken against the present limit") {
    r.memory = oci::MemoryLimits{};
    r.memory->swap = 3000;
    CHECK_THROWS_AS(lines(r, v2), Error);
    Host running = v2;
    running.fresh = false;
    running.files["memory.max"] = "1000\n";
    CHECK(lines(r, running) == Lines{"memory.swap.max 2000"});
  }
  SUBCASE("checkBeforeUpdate") {
    r.memory = oci::MemoryLimits{};
    r.memory->limit = 1000;
    r.memory->check_before_update = true;
    Host running = v2;
    running.fresh = false;
    running.files["memory.current"] = "1000\n";
    CHECK_THROWS_WITH_AS(lines(r, running),
                         "linux.resources.memory.limit: 1000 is not above the current usage 1000 "
                         "(checkBeforeUpdate)",
                         Error);
    running.files["memory.current"] = "999\n";
    CHECK(lines(r, running) == Lines{"memory.max 1000"});
  }
  SUBCASE("kernel memory is ignored aloud; all zero needs no controller") {
    r.memory = oci::MemoryLimits{};
    r.memory->limit = 0;
    r.memory->swap = 0;
    r.memory->kernel = 4096;
    r.memory->swappiness = ~0ull;
    CHECK(lines(r, Host{}).empty());
    CHECK(resource_writes(r, Host{}.view()).warnings.size() == 1);
    r.memory->swappiness = 101;
    CHECK_THROWS_AS(lines(r, v1), Error);
  }
  SUBCASE("a controller that is not there") {
    CHECK_THROWS_WITH_AS(lines(r, Host{}),
                         "linux.resources.memory: cgroup controller \"memory\" is not available "
                         "here (not mounted, not delegated, or no permission)",
                         Error);
  }
}

TEST_CASE("pids") {
  oci::Resources r;
  r.pids.emplace();
  CHECK(lines(r, v1).empty());
  r.pids->limit = 42;
  CHECK(lines(r, v1) == Lines{"pids.max 42"});
  r.pids->limit = -1;
  CHECK(lines(r, v2) == Lines{"pids.max max"});
  r.pids->limit = 0;
  CHECK(lines(r, v2) == Lines{"pids.max 1"});
  Host running = v2;
  running.fresh = false;
  CHECK(lines(r, running).empty());
}

TEST_CASE("block I/O") {
  oci::Resources r;
  r.block_io.emplace();
  r.block_io->weight = 0;
  CHECK(lines(r, Host{}).empty());
  r.block_io->weight = 500;
  r.block_io->weight_device = {{8, 0, 600, std::nullopt}};
  r.block_io->throttle_read_bps_device = {{8, 0, 1024}};
  r.block_io->throttle_write_iops_device = {{8, 16, 0}};
  CHECK(lines(r, v2) == Lines{"io.weight 4950", "io.weight 8:0 5960", "io.max 8:0 rbps=1024",
                              "io.max 8:16 wiops=max"});
  Host bfq = v2;
  bfq.files["io.bfq.weight"] = "default 100\n";
  CHECK(lines(r, bfq)[0] == "io.bfq.weight 500");
  CHECK(lines(r, bfq)[1] == "io.bfq.weight 8:0 600");
  CHECK(lines(r, v1) == Lines{"blkio.bfq.weight 500", "blkio.bfq.weight_device 8:0 600",
                              "blkio.throttle.read_bps_device 8:0 1024",
                              "blkio.throttle.write_iops_device 8:16 0"});
  Host cfq = v1;
  cfq.files["blkio.weight"] = "500\n";
  CHECK(lines(r, cfq)[0] == "blkio.weight 500");
  r.block_io->weight = 5;
  CHECK_THROWS_WITH_AS(lines(r, v1), "linux.resources.blockIO.weight: 5 is not in 10 to 1000",
                       Error);
}

TEST_CASE("huge pages, network, rdma") {
  oci::Resources r;
  r.hugepage_limits = {{"2MB", 4194304}};
  CHECK(lines(r, v2) == Lines{"hugetlb.2MB.max 4194304", "hugetlb.2MB.rsvd.max 4194304 ?"});
  CHECK(lines(r, v1) ==
        Lines{"hugetlb.2MB.limit_in_bytes 4194304", "hugetlb.2MB.rsvd.limit_in_bytes 4194304 ?"});
  r.hugepage_limits[0].page_size = "../x";
  CHECK_THROWS_AS(lines(r, v2), Error);
  r.hugepage_limits.clear();
  r.network.emplace();
  r.network->class_id = 1048577;
  r.network->priorities = {{"eth0", 5}};
  CHECK(lines(r, v1) == Lines{"net_cls.classid 1048577", "net_prio.ifpriomap eth0 5"});
  CHECK(lines(r, v2).empty());
  CHECK(resource_writes(r, v2.view()).warnings.size() == 2);
  r.network.reset();
  r.rdma["mlx5_1"] = {3, 10000};
  r.rdma["mlx5_2"] = {std::nullopt, 5};
  CHECK(lines(r, v2) ==
        Lines{"rdma.max mlx5_1 hca_handle=3 hca_object=10000", "rdma.max mlx5_2 hca_object=5"});
}

TEST_CASE("unified") {
  oci::Resources r;
  r.unified = {{"io.max", "8:0 rbps=1\n8:16 wbps=2\n"}, {"memory.high", "100"}};
  CHECK(lines(r, v2) == Lines{"io.max 8:0 rbps=1", "io.max 8:16 wbps=2", "memory.high 100"});
  CHECK_THROWS_WITH_AS(lines(r, v1),
                       "linux.resources.unified[\"io.max\"]: controller \"io\" is not available "
                       "in cgroup v2 here",
                       Error);
  r.unified = {{"a/b.c", "1"}};
  CHECK_THROWS_AS(lines(r, v2), Error);
  r.unified = {{"memory", "1"}};
  CHECK_THROWS_AS(lines(r, v2), Error);
  r.unified = {{"cgroup.max.depth", "3"}};
  CHECK(lines(r, v2) == Lines{"cgroup.max.depth 3"});
  CHECK_THROWS_AS(lines(r, v1), Error);
}

TEST_CASE("hybrid: every controller goes where it is") {
  Host h = v1;
  h.controllers["hugetlb"] = h.controllers[""] = ControllerAt::v2;
  oci::Resources r;
  r.hugepage_limits = {{"2MB", 0}};
  r.memory.emplace();
  r.memory->limit = 7;
  auto writes = resource_writes(r, h.view()).writes;
  REQUIRE(writes.size() == 3);
  CHECK(!writes[0].v2);
  CHECK(writes[1].v2);
  CHECK(writes[1].json_path == "linux.resources.hugepageLimits[0].limit");
}
