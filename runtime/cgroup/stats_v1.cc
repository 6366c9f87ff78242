#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/stats_read.hh"

namespace vessel {

namespace {

// cpuacct.stat counts in USER_HZ, which is 100 on every architecture that has containers.
constexpr uint64_t tick_ns = 10'000'000;

MemoryCounter memory_counter_v1(const std::string& dir, const std::string& prefix) {
  MemoryCounter counter;
  counter.usage = read_counter(dir, prefix + ".usage_in_bytes");
  counter.max = read_counter(dir, prefix + ".max_usage_in_bytes");
  counter.failcnt = read_counter(dir, prefix + ".failcnt");
  counter.limit = read_counter(dir, prefix + ".limit_in_bytes");
  return counter;
}

std::vector<uint16_t> number_list(const std::string& dir, std::string_view file) {
  std::vector<uint16_t> numbers;
  auto text = try_read_cgroup(dir, file);
  if (!text) return numbers;
  for (std::string_view range : split(trim(*text), ",")) {
    size_t dash = range.find('-');
    auto first = parse_counter(range.substr(0, dash));
    auto last = dash == range.npos ? first : parse_counter(range.substr(dash + 1));
    if (!first || !last || *last > UINT16_MAX) continue;
    for (uint64_t n = *first; n <= *last; ++n) numbers.push_back(static_cast<uint16_t>(n));
  }
  return numbers;
}

// "8:0 Read 4096" or "8:0 42"; the "Total N" line is left out. False when there is no such file.
bool blkio_entries(const std::string& dir, const std::string& file, std::vector<BlkioEntry>& to) {
  auto text = try_read_cgroup(dir, file);
  if (!text) return false;
  for (std::string_view line : split(*text, "\n")) {
    auto parts = split(line, " :");
    if (parts.size() < 3) continue;
    auto major = parse_counter(parts[0]), minor = parse_counter(parts[1]),
         value = parse_counter(parts.back());
    if (!major || !minor || !value) continue;
    to.push_back({*major, *minor, parts.size() == 4 ? std::string(parts[2]) : "", *value});
  }
  return true;
}

}  // namespace

void read_cpu_v1(const std::string& dir, CpuStats& to) {
  auto text = try_read_cgroup(dir, "cpu.stat");
  if (!text) return;
  auto stat = parse_keyed(*text);
  to.periods = stat["nr_periods"];
  to.throttled_periods = stat["nr_throttled"];
  to.throttled_time = stat["throttled_time"];
}

void read_cpuacct_v1(const std::string& dir, CpuStats& to) {
  if (auto text = try_read_cgroup(dir, "cpuacct.stat")) {
    auto stat = parse_keyed(*text);
    to.user = stat["user"] * tick_ns;
    to.kernel = stat["system"] * tick_ns;
  }
  to.total = read_counter(dir, "cpuacct.usage");
  if (auto text = try_read_cgroup(dir, "cpuacct.usage_percpu"))
    for (std::string_view word : split(*text, " \n"))
      if (auto value = parse_counter(word)) to.percpu.push_back(*value);
  // "cpu user system" and a line for each
  if (auto text = try_read_cgroup(dir, "cpuacct.usage_all"))
    for (std::string_view line : split(*text, "\n")) {
      auto parts = split(line, " ");
      auto user = parts.size() >= 3 ? parse_counter(parts[1]) : std::nullopt;
      auto kernel = parts.size() >= 3 ? parse_counter(parts[2]) : std::nullopt;
      if (!user || !kernel) continue;
      to.percpu_user.push_back(*user);
      to.percpu_kernel.push_back(*kernel);
    }
}

void read_cpuset_v1(const std::string& dir, CpusetStats& to) {
  to.cpus = number_list(dir, "cpuset.cpus");
  to.mems = number_list(dir, "cpuset.mems");
  to.cpu_exclusive = read_counter(dir, "cpuset.cpu_exclusive");
  to.mem_hardwall = read_counter(dir, "cpuset.mem_hardwall");
  to.mem_exclusive = read_counter(dir, "cpuset.mem_exclusive");
  to.memory_migrate = read_counter(dir, "cpuset.memory_migrate");
  to.memory_spread_page = read_counter(dir, "cpuset.memory_spread_page");
  to.memory_spread_slab = read_counter(dir, "cpuset.memory_spread_slab");
  to.memory_pressure = read_counter(dir, "cpuset.memory_pressure");
  to.sched_load_balance = read_counter(dir, "cpuset.sched_load_balance");
  auto level = try_read_cgroup(dir, "cpuset.sched_relax_domain_level");
  if (level && trim(*level) == "-1")
    to.sched_relax_domain_level = -1;
  else if (level)
    to.sched_relax_domain_level = static_cast<int64_t>(parse_counter(*level).value_or(0));
}

void read_memory_v1(const std::string& dir, MemoryStats& to) {
  if (auto text = try_read_cgroup(dir, "memory.stat")) to.raw = parse_keyed(*text);
  auto cache = to.raw.find("cache");
  if (cache != to.raw.end()) to.cache = cache->second;
  to.usage = memory_counter_v1(dir, "memory");
  to.swap = memory_counter_v1(dir, "memory.memsw");
  to.kernel = memory_counter_v1(dir, "memory.kmem");
  to.kernel_tcp = memory_counter_v1(dir, "memory.kmem.tcp");
}

void read_blkio_v1(const std::string& dir, BlkioStats& to) {
  struct Part {
    const char* name;
    std::vector<BlkioEntry>& entries;
  };
  // The richest family of files that this kernel has: BFQ with debugging, CFQ (before 5.0).
  const Part parts[] = {
      {"sectors_recursive", to.sectors},        {"io_service_time_recursive", to.service_time},
      {"io_wait_time_recursive", to.wait_time}, {"io_merged_recursive", to.merged},
      {"io_queued_recursive", to.queued},       {"time_recursive", to.time}};
  for (const std::string prefix : {"blkio.bfq.", "blkio."}) {
    bool any = false;
    for (const Part& part : parts) any |= blkio_entries(dir, prefix + part.name, part.entries);
    if (any) break;
  }
  for (const std::string prefix : {"blkio.bfq.", "blkio.", "blkio.throttle."}) {
    if (!blkio_entries(dir, prefix + "io_serviced_recursive", to.serviced)) continue;
    blkio_entries(dir, prefix + "io_service_bytes_recursive", to.service_bytes);
    // BFQ's files are there, and empty, when another scheduler does the work.
    if (!to.serviced.empty() || !to.service_bytes.empty()) return;
  }
}

}  // namespace vessel
