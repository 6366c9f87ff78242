#include "runtime/cgroup/resources.hh"

#include <algorithm>
#include <cmath>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/resources_build.hh"
#include "runtime/sys/error.hh"

namespace vessel {

uint64_t cpu_weight_of_shares(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  double l = std::log2(static_cast<double>(shares));
  double exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
  return static_cast<uint64_t>(std::ceil(std::pow(10, exponent)));
}

uint64_t io_weight_of_blkio(uint16_t weight) {
  uint64_t w = std::clamp<uint64_t>(weight, 10, 1000);
  return 1 + (w - 10) * 9999 / 990;
}

std::optional<std::string> swap_max(int64_t swap, int64_t limit) {
  // "unlimited memory" without a word on swap has always meant unlimited swap too.
  if (limit == -1 && swap == 0) return "max";
  if (swap == 0) return {};
  if (swap == -1) return "max";
  if (limit == -1) return std::to_string(swap);
  if (limit == 0) throw Error("memory+swap cannot be limited without a memory limit");
  if (swap < limit)
    throw Error("memory+swap " + std::to_string(swap) + " is below the memory limit " +
                std::to_string(limit));
  return std::to_string(swap - limit);
}

namespace {

std::string signed_or_max(int64_t value) {
  return value < 0 ? "max" : std::to_string(value);
}

void pids(const oci::Resources& r, WriteBuilder& to) {
  if (!r.pids || !r.pids->limit) return;
  int64_t limit = *r.pids->limit;
  // Docker's update sends 0 for "unchanged"; at create it is the lowest limit that both drivers
  // can express (systemd refuses TasksMax=0).
  if (limit == 0 && !to.view.fresh) return;
  to.put("pids", "pids.max", limit == 0 ? "1" : signed_or_max(limit), "linux.resources.pids.limit");
}

void hugepages(const oci::Resources& r, WriteBuilder& to) {
  for (size_t i = 0; i < r.hugepage_limits.size(); ++i) {
    const oci::HugepageLimit& h = r.hugepage_limits[i];
    std::string path = "linux.resources.hugepageLimits[" + std::to_string(i) + "]";
    if (h.page_size.empty() || h.page_size.find('/') != std::string::npos)
      throw Error(path + ".pageSize: \"" + h.page_size + "\" is not a size like 2MB or 1GB");
    std::string suffix = to.at("hugetlb", path) == ControllerAt::v2 ? ".max" : ".limit_in_bytes";
    std::string prefix = "hugetlb." + h.page_size;
    to.put("hugetlb", prefix + suffix, std::to_string(h.limit), path + ".limit");
    // Reservations are a counter of their own since 5.7.
    to.put("hugetlb", prefix + ".rsvd" + suffix, std::to_string(h.limit), path + ".limit",
           WriteRule::if_present);
  }
}

void network(const oci::Resources& r, WriteBuilder& to) {
  if (!r.network) return;
  // v2 has neither controller (config-linux.md "Network"): their work is done by eBPF there.
  if (r.network->class_id.value_or(0) != 0) {
    const char* path = "linux.resources.network.classID";
    if (to.view.where("net_cls") == ControllerAt::v1)
      to.put("net_cls", "net_cls.classid", std::to_string(*r.network->class_id), path);
    else
      to.unsupported(path, "net_cls");
  }
  for (size_t i = 0; i < r.network->priorities.size(); ++i) {
    std::string path = "linux.resources.network.priorities[" + std::to_string(i) + "]";
    const oci::InterfacePriority& p = r.network->priorities[i];
    if (to.view.where("net_prio") == ControllerAt::v1)
      to.put("net_prio", "net_prio.ifpriomap", p.name + " " + std::to_string(p.priority), path);
    else
      to.unsupported(path, "net_prio");
  }
}

void rdma(const oci::Resources& r, WriteBuilder& to) {
  for (const auto& [device, limit] : r.rdma) {
    std::string value = device;
    if (limit.hca_handles) value += " hca_handle=" + std::to_string(*limit.hca_handles);
    if (limit.hca_objects) value += " hca_object=" + std::to_string(*limit.hca_objects);
    to.put("rdma", "rdma.max", value, "linux.resources.rdma." + device);
  }
}

void unified(const oci::Resources& r, WriteBuilder& to) {
  for (const auto& [key, value] : r.unified) {
    std::string path = "linux.resources.unified[\"" + key + "\"]";
    if (key.find('/') != std::string::npos)
      throw Error(path + ": must be the name of a file, without a slash");
    size_t dot = key.find('.');
    if (dot == std::string::npos || dot == 0)
      throw Error(path + ": must have the form CONTROLLER.PARAMETER");
    std::string controller = key.substr(0, dot);
    if (controller == "cgroup") {
      controller.clear();  // core files are always there
      if (to.view.where("") != ControllerAt::v2) throw Error(path + ": this host has no cgroup v2");
    } else if (to.view.where(controller) != ControllerAt::v2) {
      throw Error(path + ": controller \"" + controller + "\" is not available in cgroup v2 here");
    }
    // Files like io.max take one line a write.
    auto lines = split(value, "\n");
    if (lines.empty()) lines.push_back("");
    for (std::string_view line : lines)
      to.writes.push_back({controller, true, key, std::string(line), path, WriteRule::required});
  }
}

}  // namespace

ControllerAt WriteBuilder::at(std::string_view controller, std::string_view json_path) const {
  ControllerAt place = view.where(controller);
  if (place == ControllerAt::nowhere)
    throw Error(std::string(json_path) + ": cgroup controller \"" + std::string(controller) +
                "\" is not available here (not mounted, not delegated, or no permission)");
  return place;
}

void WriteBuilder::put(std::string_view controller, std::string_view file, std::string value,
                       std::string_view json_path, WriteRule rule) {
  bool v2 = at(controller, json_path) == ControllerAt::v2;
  writes.push_back({std::string(controller), v2, std::string(file), std::move(value),
                    std::string(json_path), rule});
}

std::optional<std::string> WriteBuilder::current(std::string_view controller,
                                                 std::string_view file) const {
  auto text = view.read(controller, file);
  if (!text) return {};
  return std::string(trim(*text));
}

void WriteBuilder::unsupported(std::string_view json_path, std::string_view what) {
  warnings.push_back(std::string(json_path) + ": ignored, this host has no " + std::string(what));
}

CgroupWrites resource_writes(const oci::Resources& resources, const CgroupView& view) {
  WriteBuilder to{view, {}, {}};
  pids(resources, to);
  if (resources.memory) memory_writes(*resources.memory, to);
  if (resources.block_io) block_io_writes(*resources.block_io, to);
  if (resources.cpu) cpu_writes(*resources.cpu, to);
  hugepages(resources, to);
  network(resources, to);
  rdma(resources, to);
  unified(resources, to);  // last: it overrides what the older fields say
  return {std::move(to.writes), std::move(to.warnings)};
}

}  // namespace vessel
