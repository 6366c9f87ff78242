// Cgroup::stats: which controller is read from which hierarchy.
#include "runtime/cgroup/stats.hh"

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/state.hh"
#include "runtime/cgroup/stats_read.hh"

namespace vessel {

uint64_t read_counter(const std::string& dir, std::string_view file) {
  auto text = try_read_cgroup(dir, file);
  return text ? parse_counter(*text).value_or(0) : 0;
}

void read_pids(const std::string& dir, CgroupStats& to) {
  to.pids_current = read_counter(dir, "pids.current");
  uint64_t limit = read_counter(dir, "pids.max");
  to.pids_limit = limit == UINT64_MAX ? 0 : limit;  // as runc has always said "no limit"
}

void read_hugetlb(const std::string& dir, bool v2, CgroupStats& to) {
  for (const std::string& name : child_cgroups("/sys/kernel/mm/hugepages")) {
    // hugepages-2048kB -> 2MB, as the kernel names its files.
    std::string_view digits = name;
    if (!digits.starts_with("hugepages-") || !digits.ends_with("kB")) continue;
    auto kb = parse_counter(digits.substr(10, digits.size() - 12));
    if (!kb) continue;
    std::string size = *kb >= 1 << 20   ? std::to_string(*kb >> 20) + "GB"
                       : *kb >= 1 << 10 ? std::to_string(*kb >> 10) + "MB"
                                        : std::to_string(*kb) + "KB";
    // Reservations are what a limit is about where the kernel counts them (5.7).
    std::string prefix = "hugetlb." + size, usage = v2 ? ".current" : ".usage_in_bytes";
    std::string counted = prefix + ".rsvd";
    if (!try_read_cgroup(dir, counted + usage)) counted = prefix;
    if (!try_read_cgroup(dir, counted + usage)) continue;
    HugetlbStats& stats = to.hugetlb[size];
    stats.usage = read_counter(dir, counted + usage);
    if (v2) {
      auto events = try_read_cgroup(dir, prefix + ".events");
      if (events) stats.failcnt = keyed_value(*events, "max").value_or(0);
    } else {
      stats.max = read_counter(dir, counted + ".max_usage_in_bytes");
      stats.failcnt = read_counter(dir, counted + ".failcnt");
    }
  }
}

void read_rdma(const std::string& dir, CgroupStats& to) {
  auto read = [&](std::string_view file, std::vector<RdmaStats>& list) {
    auto text = try_read_cgroup(dir, file);
    if (!text) return;
    // "mlx5_0 hca_handle=2 hca_object=max"
    for (std::string_view line : split(*text, "\n")) {
      auto parts = split(line, " ");
      if (parts.empty()) continue;
      RdmaStats stats{std::string(parts[0]), 0, 0};
      for (std::string_view part : parts) {
        size_t equals = part.find('=');
        if (equals == part.npos) continue;
        auto value = parse_counter(part.substr(equals + 1));
        auto narrow = value && *value < UINT32_MAX ? static_cast<uint32_t>(*value) : UINT32_MAX;
        (part.starts_with("hca_handle") ? stats.hca_handles : stats.hca_objects) = narrow;
      }
      list.push_back(std::move(stats));
    }
  };
  read("rdma.current", to.rdma_current);
  read("rdma.max", to.rdma_limit);
}

CgroupStats Cgroup::stats() {
  CgroupStats stats;
  if (none()) return stats;
  auto v1 = [&](std::string_view controller) { return state_->v1_dir(controller); };
  auto v2 = [&](std::string_view controller) -> const std::string* {
    return state_->where(controller) == ControllerAt::v2 ? state_->v2_dir() : nullptr;
  };
  if (auto* dir = v1("cpu")) read_cpu_v1(*dir, stats.cpu);
  if (auto* dir = v1("cpuacct")) read_cpuacct_v1(*dir, stats.cpu);
  if (auto* dir = v1("cpuset")) read_cpuset_v1(*dir, stats.cpuset.emplace());
  if (auto* dir = v1("memory")) read_memory_v1(*dir, stats.memory);
  if (auto* dir = v1("blkio")) read_blkio_v1(*dir, stats.blkio);
  if (record().paths.size() == 1 && state_->v2_dir()) {
    // cpu.stat is there without the controller too.
    read_cpu_v2(*state_->v2_dir(), stats.cpu);
    if (auto* dir = v2("memory")) read_memory_v2(*dir, stats.memory);
    if (auto* dir = v2("io")) read_io_v2(*dir, stats.blkio);
  }
  if (auto* dir = state_->dir_of("pids"))
    read_pids(*dir, stats);
  else
    stats.pids_current = pids().size();
  if (auto* dir = state_->dir_of("hugetlb"))
    read_hugetlb(*dir, state_->where("hugetlb") == ControllerAt::v2, stats);
  if (auto* dir = state_->dir_of("rdma")) read_rdma(*dir, stats);
  return stats;
}

}  // namespace vessel
