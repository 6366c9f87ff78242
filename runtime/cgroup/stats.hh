// Owns: what `events` reports of a cgroup, as typed values, and their JSON in runc's shape.
// Does not own: reading them (stats_v1.cc, stats_v2.cc) beyond the declarations.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vessel {

// Times in nanoseconds, sizes in bytes. UINT64_MAX is "max" (no limit) as runc prints it.

struct PressureLine {
  double avg10 = 0, avg60 = 0, avg300 = 0;
  uint64_t total = 0;  // microseconds
};

struct Pressure {  // *.pressure (PSI)
  PressureLine some, full;
};

struct CpuStats {
  uint64_t total = 0, kernel = 0, user = 0;
  std::vector<uint64_t> percpu, percpu_kernel, percpu_user;
  uint64_t periods = 0, throttled_periods = 0, throttled_time = 0;
  uint64_t bursts_periods = 0, burst_time = 0;
  std::optional<Pressure> pressure;
};

struct CpusetStats {
  std::vector<uint16_t> cpus, mems;
  uint64_t cpu_exclusive = 0, mem_hardwall = 0, mem_exclusive = 0, memory_migrate = 0;
  uint64_t memory_spread_page = 0, memory_spread_slab = 0, memory_pressure = 0;
  uint64_t sched_load_balance = 0;
  int64_t sched_relax_domain_level = 0;
};

struct MemoryCounter {
  uint64_t limit = 0, usage = 0, max = 0, failcnt = 0;
};

struct MemoryStats {
  uint64_t cache = 0;
  MemoryCounter usage, swap, kernel, kernel_tcp;
  std::map<std::string, uint64_t> raw;  // memory.stat
  std::optional<Pressure> pressure;
};

struct BlkioEntry {
  uint64_t major = 0, minor = 0;
  std::string op;  // Read Write Sync Async Discard Total; empty where the file has none
  uint64_t value = 0;
};

struct BlkioStats {
  std::vector<BlkioEntry> service_bytes, serviced, queued, service_time, wait_time, merged, time,
      sectors, cost_usage, cost_wait, cost_indebt, cost_indelay;
  std::optional<Pressure> pressure;
};

struct HugetlbStats {
  uint64_t usage = 0, max = 0, failcnt = 0;
};

struct RdmaStats {
  std::string device;
  uint32_t hca_handles = 0, hca_objects = 0;  // UINT32_MAX: no limit
};

struct IntelRdtStats {
  struct CacheInfo {
    std::string cbm_mask;
    uint64_t min_cbm_bits = 0, num_closids = 0;
  };
  struct BandwidthInfo {
    uint64_t granularity = 0, delay_linear = 0, least = 0, num_closids = 0;
  };
  struct Traffic {  // bytes of one L3 domain since the group was made
    uint64_t total = 0, local = 0;
  };
  std::optional<CacheInfo> cache;          // where the host has L3 allocation
  std::optional<BandwidthInfo> bandwidth;  // where it has memory bandwidth allocation
  std::string cache_schema_root, cache_schema, bandwidth_schema_root, bandwidth_schema;
  std::vector<std::string> schemata;
  std::optional<std::vector<Traffic>> traffic;     // where it is monitored; by L3 domain
  std::optional<std::vector<uint64_t>> occupancy;  // bytes of cache; by L3 domain
};

struct CgroupStats {
  CpuStats cpu;
  std::optional<CpusetStats> cpuset;  // v1 only, as runc
  MemoryStats memory;
  uint64_t pids_current = 0, pids_limit = 0;  // limit 0: none
  BlkioStats blkio;
  std::map<std::string, HugetlbStats> hugetlb;  // by page size, "2MB"
  std::vector<RdmaStats> rdma_current, rdma_limit;
  std::optional<IntelRdtStats> intel_rdt;  // from Resctrl::stats
};

// The value of "data" in `{"type":"stats","id":…,"data":…}`, one line, fields in runc's order.
std::string stats_json(const CgroupStats& stats);

}  // namespace vessel
