#include <poll.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <map>

#include "runtime/container/status.hh"
#include "runtime/operations/living.hh"
#include "runtime/operations/report.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

constexpr int interval_ms = 1000;

struct Sample {
  uint64_t cpu = 0;   // nanoseconds used
  uint64_t time = 0;  // nanoseconds, when
};

uint64_t monotonic() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

std::string size_text(uint64_t bytes) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f%s" : "%.1f%s", value, units[unit]);
  return text;
}

std::string percent_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", value);
  return text;
}

uint64_t host_memory() {
  struct sysinfo info {};
  return ::sysinfo(&info) == 0 ? info.totalram * info.mem_unit : 0;
}

// As `docker stats`: the page cache that can be dropped at once is nobody's use.
uint64_t memory_in_use(const MemoryStats& memory) {
  for (const char* name : {"total_inactive_file", "inactive_file"})
    if (auto at = memory.raw.find(name); at != memory.raw.end())
      return memory.usage.usage > at->second ? memory.usage.usage - at->second : 0;
  return memory.usage.usage;
}

uint64_t transferred(const BlkioStats& io, std::string_view operation) {
  uint64_t total = 0;
  for (const BlkioEntry& entry : io.service_bytes)
    if (entry.op.size() == operation.size() && (entry.op[0] | 0x20) == (operation[0] | 0x20) &&
        entry.op.substr(1) == operation.substr(1))
      total += entry.value;
  return total;
}

class Table {
 public:
  // False when none of them runs any more.
  bool add(const std::string& root, const std::vector<std::string>& ids) {
    rows_ = {{"ID", "CPU %", "MEM USAGE / LIMIT", "MEM %", "PIDS", "BLOCK I/O"}};
    bool any = false;
    for (const std::string& id : ids) {
      try {
        Container c = open_container(root, id, false);
        if (c.status == Status::stopped || c.record.cgroup.empty()) continue;
        row(id, Cgroup::open(c.record.cgroup).stats());
        any = true;
      } catch (const std::exception&) {
        continue;  // deleted meanwhile
      }
    }
    return any;
  }
  std::string text() const { return table_text(rows_); }

 private:
  void row(const std::string& id, const CgroupStats& stats) {
    const Sample now{stats.cpu.total, monotonic()};
    const Sample before = std::exchange(samples_[id], now);
    double cpu = 0;
    if (before.time != 0 && now.time > before.time && now.cpu >= before.cpu)
      cpu = 100.0 * static_cast<double>(now.cpu - before.cpu) /
            static_cast<double>(now.time - before.time);
    const uint64_t most = host_memory(), used = memory_in_use(stats.memory);
    const uint64_t limit = stats.memory.usage.limit == 0 || stats.memory.usage.limit > most
                               ? most
                               : stats.memory.usage.limit;
    rows_.push_back(
        {id, percent_text(cpu), size_text(used) + " / " + size_text(limit),
         percent_text(limit ? 100.0 * static_cast<double>(used) / static_cast<double>(limit) : 0),
         std::to_string(stats.pids_current),
         size_text(transferred(stats.blkio, "Read")) + " / " +
             size_text(transferred(stats.blkio, "Write"))});
  }

  std::vector<std::vector<std::string>> rows_;
  std::map<std::string, Sample> samples_;
};

}  // namespace

void show_stats(const std::string& root, const std::vector<std::string>& ids, bool once) {
  for (const std::string& id : ids)
    if (open_container(root, id, false).status == Status::stopped)
      throw Error("container " + id + " is not running");
  auto wanted = [&] { return ids.empty() ? list_ids(root) : ids; };
  const bool in_place = !once && ::isatty(STDOUT_FILENO);
  Table table;
  bool any = table.add(root, wanted());
  while (any) {
    ::poll(nullptr, 0, interval_ms);
    any = table.add(root, wanted());
    std::string text = table.text();
    if (in_place) text = "\033[H\033[2J" + text;
    write_all(STDOUT_FILENO, text, "standard output");
    if (once) return;
  }
  if (once) write_all(STDOUT_FILENO, table.text(), "standard output");
}

}  // namespace vessel
