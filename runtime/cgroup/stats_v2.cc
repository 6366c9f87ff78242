#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/stats_read.hh"
#include "runtime/sys/number.hh"

namespace vessel {

namespace {

// "12.34", always with two digits. The library's reader of doubles would be 60 KB of tables.
double percentage(std::string_view text) {
  size_t point = text.find('.');
  if (point == text.npos || text.size() != point + 3) return 0;
  auto whole = parse_number<uint32_t>(text.substr(0, point));
  auto hundredths = parse_number<uint32_t>(text.substr(point + 1));
  return whole && hundredths ? *whole + *hundredths / 100.0 : 0;
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same for "full". Without PSI in the
// kernel the file is missing, or reading it is EOPNOTSUPP.
std::optional<Pressure> pressure(const std::string& dir, std::string_view file) {
  auto text = try_read_cgroup(dir, file);
  if (!text) return {};
  Pressure value;
  for (std::string_view line : split(*text, "\n")) {
    auto parts = split(line, " ");
    if (parts.empty()) continue;
    PressureLine& to = parts[0] == "full" ? value.full : value.some;
    for (std::string_view part : parts) {
      size_t equals = part.find('=');
      if (equals == part.npos) continue;
      std::string_view key = part.substr(0, equals), number = part.substr(equals + 1);
      if (key == "total") {
        to.total = parse_counter(number).value_or(0);
        continue;
      }
      double* average = key == "avg10"    ? &to.avg10
                        : key == "avg60"  ? &to.avg60
                        : key == "avg300" ? &to.avg300
                                          : nullptr;
      if (average) *average = percentage(number);
    }
  }
  return value;
}

MemoryCounter memory_counter_v2(const std::string& dir, const std::string& prefix) {
  MemoryCounter counter;
  counter.usage = read_counter(dir, prefix + ".current");
  counter.limit = read_counter(dir, prefix + ".max");
  counter.max = read_counter(dir, prefix + ".peak");  // 5.19, for swap 6.5
  return counter;
}

}  // namespace

void read_cpu_v2(const std::string& dir, CpuStats& to) {
  if (auto text = try_read_cgroup(dir, "cpu.stat")) {
    auto stat = parse_keyed(*text);  // microseconds
    to.total = stat["usage_usec"] * 1000;
    to.user = stat["user_usec"] * 1000;
    to.kernel = stat["system_usec"] * 1000;
    to.periods = stat["nr_periods"];
    to.throttled_periods = stat["nr_throttled"];
    to.throttled_time = stat["throttled_usec"] * 1000;
    to.bursts_periods = stat["nr_bursts"];
    to.burst_time = stat["burst_usec"] * 1000;
  }
  to.pressure = pressure(dir, "cpu.pressure");
}

void read_memory_v2(const std::string& dir, MemoryStats& to) {
  if (auto text = try_read_cgroup(dir, "memory.stat")) to.raw = parse_keyed(*text);
  auto file = to.raw.find("file");
  if (file != to.raw.end()) to.cache = file->second;
  to.usage = memory_counter_v2(dir, "memory");
  // v1's readers expect memory and swap together here; the peaks do not add up.
  to.swap = memory_counter_v2(dir, "memory.swap");
  to.swap.usage += to.usage.usage;
  if (to.swap.limit != UINT64_MAX)
    to.swap.limit = to.usage.limit == UINT64_MAX ? UINT64_MAX : to.swap.limit + to.usage.limit;
  to.swap.max = 0;
  to.pressure = pressure(dir, "memory.pressure");
}

void read_io_v2(const std::string& dir, BlkioStats& to) {
  struct Column {
    std::string_view key, op;
    std::vector<BlkioEntry>& entries;
  };
  const Column columns[] = {{"rbytes", "Read", to.service_bytes},
                            {"wbytes", "Write", to.service_bytes},
                            {"rios", "Read", to.serviced},
                            {"wios", "Write", to.serviced},
                            {"cost.usage", "Count", to.cost_usage},
                            {"cost.wait", "Count", to.cost_wait},
                            {"cost.indebt", "Count", to.cost_indebt},
                            {"cost.indelay", "Count", to.cost_indelay}};
  auto text = try_read_cgroup(dir, "io.stat");
  for (std::string_view line : split(text ? std::string_view(*text) : "", "\n")) {
    // "8:0 rbytes=4096 wbytes=0 rios=1 …"
    auto parts = split(line, " ");
    auto number = parts.empty() ? parts : split(parts[0], ":");
    auto major = number.size() == 2 ? parse_counter(number[0]) : std::nullopt;
    auto minor = number.size() == 2 ? parse_counter(number[1]) : std::nullopt;
    if (!major || !minor) continue;
    for (size_t i = 1; i < parts.size(); ++i)
      for (const Column& column : columns)
        if (parts[i].starts_with(column.key) && parts[i][column.key.size()] == '=')
          if (auto value = parse_counter(parts[i].substr(column.key.size() + 1)))
            column.entries.push_back({*major, *minor, std::string(column.op), *value});
  }
  to.pressure = pressure(dir, "io.pressure");
}

}  // namespace vessel
