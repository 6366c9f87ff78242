#include "runtime/cgroup/systemd_properties.hh"

#include <charconv>
#include <cmath>

#include "runtime/cgroup/device_rules.hh"
#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/gvariant.hh"
#include "runtime/cgroup/resources.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr uint64_t infinity = UINT64_MAX;
constexpr uint64_t default_period = 100000;  // microseconds, of the kernel

uint64_t or_infinity(int64_t value) {
  return value < 0 ? infinity : static_cast<uint64_t>(value);
}

// CPU time in microseconds a second, in whole percents (10 ms) rounded up.
uint64_t quota_per_second(int64_t quota, uint64_t period) {
  unsigned __int128 exact = static_cast<unsigned __int128>(quota) * 1'000'000 / period;
  uint64_t usec = exact > infinity / 2 ? infinity / 2 : static_cast<uint64_t>(exact);
  return (usec + 9'999) / 10'000 * 10'000;
}

void cpu_quota(int64_t quota, uint64_t period, Properties& out) {
  if (period != 0) out.emplace_back("CPUQuotaPeriodUSec", dbus_uint64(period));
  if (quota == 0 && period == 0) return;
  uint64_t value = quota > 0 ? quota_per_second(quota, period ? period : default_period) : infinity;
  out.emplace_back("CPUQuotaPerSecUSec", dbus_uint64(value));
}

void cpuset(std::string_view name, const std::string& list, std::string_view path,
            Properties& out) {
  if (list.empty()) return;
  try {
    out.emplace_back(name, dbus_bytes(cpuset_bits(list)));
  } catch (Error& error) {
    error.prepend(path);
    throw;
  }
}

uint64_t unified_number(const std::string& key, std::string_view value) {
  auto number = parse_counter(value);
  if (!number)
    throw Error("linux.resources.unified[\"" + key + "\"]: \"" + std::string(value) +
                "\" is neither a number nor max");
  return *number;
}

void unified(const std::map<std::string, std::string>& files, const SystemdVersion& systemd,
             Properties& out) {
  static const std::map<std::string_view, const char*> plain = {
      {"memory.high", "MemoryHigh"},        {"memory.low", "MemoryLow"},
      {"memory.min", "MemoryMin"},          {"memory.max", "MemoryMax"},
      {"memory.swap.max", "MemorySwapMax"}, {"cpu.weight", "CPUWeight"}};
  auto idle = files.find("cpu.idle");
  bool is_idle = idle != files.end() && trim(idle->second) == "1" && systemd.number >= 252;
  for (const auto& [key, raw] : files) {
    std::string_view value = trim(raw);
    if (key == "cpu.idle") {
      if (is_idle) out.emplace_back("CPUWeight", dbus_uint64(0));
    } else if (key == "cpu.max") {
      auto parts = split(value, " ");
      if (parts.empty() || parts.size() > 2)
        throw Error("linux.resources.unified[\"cpu.max\"]: must be \"QUOTA [PERIOD]\"");
      uint64_t quota = unified_number(key, parts[0]);
      uint64_t period = parts.size() == 2 ? unified_number(key, parts[1]) : default_period;
      cpu_quota(quota == infinity ? 0 : static_cast<int64_t>(quota), period, out);
    } else if (key == "cpuset.cpus" || key == "cpuset.mems") {
      cpuset(key == "cpuset.cpus" ? "AllowedCPUs" : "AllowedMemoryNodes", std::string(value),
             "linux.resources.unified[\"" + key + "\"]", out);
    } else if (key == "pids.max") {
      out.emplace_back("TasksMax", dbus_uint64(std::max<uint64_t>(unified_number(key, value), 1)));
    } else if (auto it = plain.find(key); it != plain.end() && !(key == "cpu.weight" && is_idle)) {
      out.emplace_back(it->second, dbus_uint64(unified_number(key, value)));
    }
  }
}

}  // namespace

std::string expand_slice(std::string_view slice) {
  auto refuse = [&] {
    throw Error("\"" + std::string(slice) + "\" is no name of a systemd slice");
  };
  if (!slice.ends_with(".slice") || slice.size() <= 6 || slice.find('/') != slice.npos) refuse();
  std::string_view name = slice.substr(0, slice.size() - 6);
  if (name == "-") return "";
  std::string path;
  for (size_t at = 0; at <= name.size();) {
    size_t end = std::min(name.find('-', at), name.size());
    if (end == at) refuse();
    path += "/" + std::string(name.substr(0, end)) + ".slice";
    at = end + 1;
  }
  if (name.ends_with('-')) refuse();
  return path;
}

std::vector<uint8_t> cpuset_bits(std::string_view list) {
  auto number = [&](std::string_view text) {
    auto value = parse_counter(text);
    if (!value || *value > 8191) throw Error("\"" + std::string(list) + "\" is no list like 0-3,8");
    return static_cast<size_t>(*value);
  };
  std::vector<uint8_t> bits;
  for (std::string_view range : split(list, ", ")) {
    size_t dash = range.find('-');
    size_t first = number(range.substr(0, dash));
    size_t last = dash == range.npos ? first : number(range.substr(dash + 1));
    if (first > last) throw Error("\"" + std::string(range) + "\" runs backwards");
    if (bits.size() < last / 8 + 1) bits.resize(last / 8 + 1);
    for (size_t bit = first; bit <= last; ++bit)
      bits[bit / 8] = static_cast<uint8_t>(bits[bit / 8] | 1 << bit % 8);
  }
  if (bits.empty()) throw Error("an empty list");
  return bits;
}

oci::Resources rounded_for_systemd(oci::Resources resources) {
  if (!resources.cpu || resources.cpu->quota.value_or(0) <= 0) return resources;
  uint64_t period = resources.cpu->period.value_or(0);
  if (period == 0) period = default_period;
  uint64_t exact = static_cast<uint64_t>(static_cast<unsigned __int128>(*resources.cpu->quota) *
                                         1'000'000 / period);
  uint64_t rounded = quota_per_second(*resources.cpu->quota, period);
  if (rounded != exact)
    resources.cpu->quota =
        static_cast<int64_t>(static_cast<unsigned __int128>(rounded) * period / 1'000'000);
  return resources;
}

bool depends_on_version(const oci::Resources& r) {
  return (r.cpu && r.cpu->idle.value_or(0) == 1) || r.unified.contains("cpu.idle") ||
         r.unified.contains("memory.oom.group");
}

Properties resource_properties(const oci::Resources& r, const SystemdVersion& systemd,
                               std::vector<std::string>& warnings) {
  Properties out;
  auto put = [&](std::string_view name, uint64_t value) {
    out.emplace_back(name, dbus_uint64(value));
  };
  if (r.memory) {
    int64_t limit = r.memory->limit.value_or(0), swap = r.memory->swap.value_or(0);
    if (limit != 0) put(systemd.v2 ? "MemoryMax" : "MemoryLimit", or_infinity(limit));
    if (systemd.v2) {
      int64_t reservation = r.memory->reservation.value_or(0);
      if (reservation != 0) put("MemoryLow", or_infinity(reservation));
      // An update of swap alone is left to the file: what the limit is now is not known here.
      if (limit != 0 || swap < 0) {
        std::optional<std::string> value;
        try {
          value = swap_max(swap, limit);
        } catch (Error& error) {
          error.prepend("linux.resources.memory.swap");
          throw;
        }
        if (value) put("MemorySwapMax", *parse_counter(*value));
      }
    }
  }
  if (r.cpu) {
    bool idle = systemd.v2 && r.cpu->idle.value_or(0) == 1 && systemd.number >= 252;
    if (idle) put("CPUWeight", 0);  // systemd's way to say cpu.idle
    uint64_t shares = r.cpu->shares.value_or(0);
    if (shares != 0 && idle)
      warnings.push_back("linux.resources.cpu.shares: ignored, as the cgroup is idle");
    else if (shares != 0)
      systemd.v2 ? put("CPUWeight", cpu_weight_of_shares(shares)) : put("CPUShares", shares);
    cpu_quota(r.cpu->quota.value_or(0), r.cpu->period.value_or(0), out);
    cpuset("AllowedCPUs", r.cpu->cpus, "linux.resources.cpu.cpus", out);
    cpuset("AllowedMemoryNodes", r.cpu->mems, "linux.resources.cpu.mems", out);
  }
  if (!systemd.v2 && r.block_io && r.block_io->weight.value_or(0) != 0)
    put("BlockIOWeight", *r.block_io->weight);
  if (r.pids && r.pids->limit)
    // systemd refuses 0.
    put("TasksMax", *r.pids->limit == 0 ? 1 : or_infinity(*r.pids->limit));
  if (systemd.v2) unified(r.unified, systemd, out);
  return out;
}

Properties device_properties(const oci::Resources& resources) {
  Properties out;
  if (resources.devices.empty()) return out;
  NormalRules rules = normal_rules(resources.devices);
  // The list of a unit that exists is appended to, unless an empty one clears it first.
  out.emplace_back("DeviceAllow", dbus_array("(ss)", {}));
  if (rules.default_allow) {
    out.emplace_back("DevicePolicy", dbus_string("auto"));
    return out;
  }
  out.emplace_back("DevicePolicy", dbus_string("strict"));
  std::vector<DbusValue> entries;
  for (const NormalRule& rule : rules.rules) {
    const DeviceMatch& match = rule.match;
    if (!rule.allow || (!match.major && match.minor)) continue;  // systemd cannot say "*:n"
    std::string kind = match.block ? "block" : "char", path;
    if (!match.major)
      path = kind + "-*";
    else if (!match.minor)
      path = kind + "-" + std::to_string(*match.major);
    else
      path =
          "/dev/" + kind + "/" + std::to_string(*match.major) + ":" + std::to_string(*match.minor);
    std::string access;
    if (rule.access & device_read) access += 'r';
    if (rule.access & device_write) access += 'w';
    if (rule.access & device_mknod) access += 'm';
    entries.push_back(dbus_struct({dbus_string(path), dbus_string(access)}));
  }
  out.emplace_back("DeviceAllow", dbus_array("(ss)", std::move(entries)));
  return out;
}

Properties annotation_properties(const std::map<std::string, std::string>& annotations) {
  Properties out;
  for (const auto& [key, text] : annotations) {
    std::string name = key;
    std::string path = "annotations[\"org.systemd.property." + key + "\"]";
    for (char c : name)
      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
        throw Error(path + ": names of unit properties have letters only");
    if (name.size() < 3) throw Error(path + ": the name is too short");
    DbusValue value;
    try {
      value = parse_gvariant(text);
    } catch (Error& error) {
      error.prepend(path);
      throw;
    }
    // systemd's bus interface counts in microseconds what its files give in seconds.
    char before = name.size() > 3 ? name[name.size() - 4] : '\0';
    if (name.ends_with("Sec") && before >= 'a' && before <= 'z') {
      name.replace(name.size() - 3, 3, "USec");
      char type = value.signature[0];
      double seconds = 0;
      if (type == 'd')
        seconds = std::get<double>(value.data);
      else if (std::string_view("nixyqut").find(type) != std::string_view::npos)
        seconds = std::string_view("nix").find(type) != std::string_view::npos
                      ? static_cast<double>(static_cast<int64_t>(value.number()))
                      : static_cast<double>(value.number());
      else
        throw Error(path + ": must be a number of seconds");
      if (!(seconds >= 0) || seconds > 1.8e13)
        throw Error(path + ": is no usable number of seconds");
      value = dbus_uint64(static_cast<uint64_t>(std::llround(seconds * 1e6)));
    }
    out.emplace_back(name, std::move(value));
  }
  return out;
}

DbusValue property_list(const Properties& properties) {
  std::vector<DbusValue> parts;
  for (const auto& [name, value] : properties)
    parts.push_back(dbus_struct({dbus_string(name), dbus_variant(value)}));
  return dbus_array("(sv)", std::move(parts));
}

}  // namespace vessel
