// stats_json: runc's field names, order and rules for leaving zeros out (its `events --stats`).
#include <cmath>
#include <cstdio>

#include "runtime/cgroup/stats.hh"

namespace vessel {

namespace {

// One object being written. `some` leaves zeros out, as Go's omitempty does; `put` does not.
class Object {
 public:
  Object& put(std::string_view key, uint64_t value) { return raw(key, std::to_string(value)); }
  Object& put_signed(std::string_view key, int64_t value) {
    return raw(key, std::to_string(value));
  }
  Object& some(std::string_view key, uint64_t value) { return value ? put(key, value) : *this; }
  static std::string quoted(std::string_view value) {
    std::string text = "\"";
    for (char c : value) {
      auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') text += '\\';
      if (byte >= 0x20) text += c;
    }
    return text + "\"";
  }
  Object& text(std::string_view key, std::string_view value) { return raw(key, quoted(value)); }
  Object& raw(std::string_view key, std::string_view json) {
    text_ += text_.size() > 1 ? ",\"" : "\"";
    text_.append(key).append("\":").append(json);
    return *this;
  }
  std::string done() const { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

template <typename Items, typename Write>
std::string array(const Items& items, Write write) {
  std::string text = "[";
  for (const auto& item : items) {
    if (text.size() > 1) text += ',';
    text += write(item);
  }
  return text + "]";
}

template <typename Number>
void numbers(Object& to, std::string_view key, const std::vector<Number>& values) {
  if (!values.empty()) to.raw(key, array(values, [](Number n) { return std::to_string(n); }));
}

std::string pressure_line(const PressureLine& line) {
  auto average = [](double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.10g", value);
    return std::string(buffer);
  };
  return Object()
      .raw("avg10", average(line.avg10))
      .raw("avg60", average(line.avg60))
      .raw("avg300", average(line.avg300))
      .put("total", line.total)
      .done();
}

void pressure(Object& to, const std::optional<Pressure>& value) {
  if (!value) return;
  to.raw("psi", Object()
                    .raw("some", pressure_line(value->some))
                    .raw("full", pressure_line(value->full))
                    .done());
}

std::string cpu(const CpuStats& s) {
  Object usage;
  usage.some("total", s.total);
  numbers(usage, "percpu", s.percpu);
  numbers(usage, "percpu_kernel", s.percpu_kernel);
  numbers(usage, "percpu_user", s.percpu_user);
  usage.put("kernel", s.kernel).put("user", s.user);
  Object throttling;
  throttling.some("periods", s.periods)
      .some("throttledPeriods", s.throttled_periods)
      .some("throttledTime", s.throttled_time);
  Object object;
  object.raw("usage", usage.done()).raw("throttling", throttling.done());
  pressure(object, s.pressure);
  return object.done();
}

std::string cpuset(const CpusetStats& s) {
  Object object;
  numbers(object, "cpus", s.cpus);
  object.put("cpu_exclusive", s.cpu_exclusive);
  numbers(object, "mems", s.mems);
  return object.put("mem_hardwall", s.mem_hardwall)
      .put("mem_exclusive", s.mem_exclusive)
      .put("memory_migrate", s.memory_migrate)
      .put("memory_spread_page", s.memory_spread_page)
      .put("memory_spread_slab", s.memory_spread_slab)
      .put("memory_pressure", s.memory_pressure)
      .put("sched_load_balance", s.sched_load_balance)
      .put_signed("sched_relax_domain_level", s.sched_relax_domain_level)
      .done();
}

std::string counter(const MemoryCounter& c) {
  return Object()
      .put("limit", c.limit)
      .some("usage", c.usage)
      .some("max", c.max)
      .put("failcnt", c.failcnt)
      .done();
}

std::string memory(const MemoryStats& s) {
  Object object;
  object.some("cache", s.cache)
      .raw("usage", counter(s.usage))
      .raw("swap", counter(s.swap))
      .raw("kernel", counter(s.kernel))
      .raw("kernelTCP", counter(s.kernel_tcp));
  if (!s.raw.empty()) {
    Object raw;
    for (const auto& [key, value] : s.raw) raw.put(key, value);
    object.raw("raw", raw.done());
  }
  pressure(object, s.pressure);
  return object.done();
}

std::string blkio(const BlkioStats& s) {
  Object object;
  auto entries = [&](std::string_view key, const std::vector<BlkioEntry>& list) {
    if (list.empty()) return;
    object.raw(key, array(list, [](const BlkioEntry& e) {
                 Object entry;
                 entry.some("major", e.major).some("minor", e.minor);
                 if (!e.op.empty()) entry.text("op", e.op);
                 return entry.some("value", e.value).done();
               }));
  };
  entries("ioServiceBytesRecursive", s.service_bytes);
  entries("ioServicedRecursive", s.serviced);
  entries("ioQueueRecursive", s.queued);
  entries("ioServiceTimeRecursive", s.service_time);
  entries("ioWaitTimeRecursive", s.wait_time);
  entries("ioMergedRecursive", s.merged);
  entries("ioTimeRecursive", s.time);
  entries("sectorsRecursive", s.sectors);
  pressure(object, s.pressure);
  return object.done();
}

std::string intel_rdt(const IntelRdtStats& s) {
  Object object;
  auto text = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) object.text(key, value);
  };
  if (s.cache) {
    Object info;
    if (!s.cache->cbm_mask.empty()) info.text("cbm_mask", s.cache->cbm_mask);
    info.some("min_cbm_bits", s.cache->min_cbm_bits).some("num_closids", s.cache->num_closids);
    object.raw("l3_cache_info", info.done());
  }
  text("l3_cache_schema_root", s.cache_schema_root);
  text("l3_cache_schema", s.cache_schema);
  if (s.bandwidth)
    object.raw("mem_bw_info", Object()
                                  .some("bandwidth_gran", s.bandwidth->granularity)
                                  .some("delay_linear", s.bandwidth->delay_linear)
                                  .some("min_bandwidth", s.bandwidth->least)
                                  .some("num_closids", s.bandwidth->num_closids)
                                  .done());
  text("mem_bw_schema_root", s.bandwidth_schema_root);
  text("mem_bw_schema", s.bandwidth_schema);
  if (!s.schemata.empty())
    object.raw("schemata",
               array(s.schemata, [](const std::string& line) { return Object::quoted(line); }));
  if (s.traffic)
    object.raw(
        "mbm_stats", array(*s.traffic, [](const IntelRdtStats::Traffic& t) {
          return Object().put("mbm_total_bytes", t.total).put("mbm_local_bytes", t.local).done();
        }));
  if (s.occupancy)
    object.raw("cmt_stats", array(*s.occupancy, [](uint64_t bytes) {
                 return Object().put("llc_occupancy", bytes).done();
               }));
  return object.done();
}

}  // namespace

std::string stats_json(const CgroupStats& stats) {
  Object pids;
  pids.some("current", stats.pids_current).some("limit", stats.pids_limit);
  Object hugetlb;
  for (const auto& [size, h] : stats.hugetlb)
    hugetlb.raw(
        size, Object().some("usage", h.usage).some("max", h.max).put("failcnt", h.failcnt).done());
  return Object()
      .raw("cpu", cpu(stats.cpu))
      .raw("cpuset", cpuset(stats.cpuset.value_or(CpusetStats{})))
      .raw("memory", memory(stats.memory))
      .raw("pids", pids.done())
      .raw("blkio", blkio(stats.blkio))
      .raw("hugetlb", hugetlb.done())
      .raw("intel_rdt", intel_rdt(stats.intel_rdt.value_or(IntelRdtStats{})))
      .raw("network_interfaces", "null")
      .done();
}

}  // namespace vessel
