// Resctrl::stats, with what runc reports under "intel_rdt".
#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/resctrl.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

std::string text_of(const Fd& root, const std::string& path) {
  return std::string(trim(try_read_file(root.get(), path).value_or("")));
}

// "Unavailable" and "Unassigned" (no counter for this group at the moment) count as nothing.
uint64_t number_of(const Fd& root, const std::string& path) {
  return parse_counter(text_of(root, path)).value_or(0);
}

std::string line_of(const std::vector<std::string>& lines, std::string_view start) {
  std::string found;
  for (const std::string& line : lines)
    if (line.starts_with(start)) found = line;
  return found;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::string_view line : split(text, "\n")) lines.emplace_back(trim(line));
  return lines;
}

// One for each cache, "mon_L3_00", in order.
std::vector<std::string> domains_in(const Fd& root, const std::string& data) {
  std::vector<std::string> names;
  Fd fd = try_open_file(root.get(), data, O_RDONLY | O_DIRECTORY);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fd ? ::fdopendir(fd.get()) : nullptr, ::closedir);
  if (!stream) return names;
  fd.release();
  while (const dirent* entry = ::readdir(stream.get()))
    if (std::string_view(entry->d_name).starts_with("mon_L3_")) names.emplace_back(entry->d_name);
  std::ranges::sort(names);
  return names;
}

void read_monitoring(const Fd& root, const std::string& group, IntelRdtStats& to) {
  const auto features = lines_of(text_of(root, "info/L3_MON/mon_features"));
  const auto has = [&](std::string_view name) {
    return std::ranges::find(features, name) != features.end();
  };
  if (has("mbm_total_bytes") || has("mbm_local_bytes")) to.traffic.emplace();
  if (has("llc_occupancy")) to.occupancy.emplace();
  if (!to.traffic && !to.occupancy) return;
  const std::string data = group + "mon_data";
  for (const std::string& domain : domains_in(root, data)) {
    const std::string path = data + "/" + domain + "/";
    if (to.traffic)
      to.traffic->push_back(
          {number_of(root, path + "mbm_total_bytes"), number_of(root, path + "mbm_local_bytes")});
    if (to.occupancy) to.occupancy->push_back(number_of(root, path + "llc_occupancy"));
  }
}

}  // namespace

IntelRdtStats Resctrl::stats(const ResctrlRecord& record) const {
  IntelRdtStats s;
  const std::string group = record.group.empty() ? "" : record.group + "/";
  const auto root_lines = lines_of(text_of(root_, "schemata"));
  s.schemata = lines_of(text_of(root_, group + "schemata"));
  if (const std::string mask = text_of(root_, "info/L3/cbm_mask"); !mask.empty()) {
    s.cache = {mask, number_of(root_, "info/L3/min_cbm_bits"),
               number_of(root_, "info/L3/num_closids")};
    s.cache_schema_root = line_of(root_lines, "L3");
    s.cache_schema = line_of(s.schemata, "L3");
  }
  if (const uint64_t closids = number_of(root_, "info/MB/num_closids"); closids != 0) {
    s.bandwidth = {number_of(root_, "info/MB/bandwidth_gran"),
                   number_of(root_, "info/MB/delay_linear"),
                   number_of(root_, "info/MB/min_bandwidth"), closids};
    s.bandwidth_schema_root = line_of(root_lines, "MB:");
    s.bandwidth_schema = line_of(s.schemata, "MB:");
  }
  read_monitoring(
      root_, record.mon_group.empty() ? group : group + "mon_groups/" + record.mon_group + "/", s);
  return s;
}

}  // namespace vessel
