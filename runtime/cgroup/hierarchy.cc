#include "runtime/cgroup/hierarchy.hh"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>

#include "runtime/cgroup/files.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/mountinfo.hh"

namespace vessel {

namespace {

constexpr std::string_view standard_root = "/sys/fs/cgroup";

constexpr std::string_view controllers[] = {"blkio",   "cpu",      "cpuacct",    "cpuset", "debug",
                                            "devices", "freezer",  "hugetlb",    "memory", "misc",
                                            "net_cls", "net_prio", "perf_event", "pids",   "rdma"};

bool is_controller(std::string_view name) {
  return std::ranges::find(controllers, name) != std::end(controllers);
}

// A mount point's directory name, as key: v1 controllers, or a named hierarchy.
std::string key_of_name(std::string_view name) {
  for (std::string_view part : split(name, ","))
    if (!is_controller(part)) return "name=" + std::string(name);
  return std::string(name);
}

}  // namespace

bool hierarchy_has(std::string_view key, std::string_view controller) {
  for (std::string_view part : split(key, ","))
    if (part == controller) return true;
  return false;
}

std::vector<Hierarchy> hierarchies_of_names(std::string_view root,
                                            const std::vector<std::string>& names) {
  std::vector<Hierarchy> found;
  for (const std::string& name : names) {
    std::string key = name == "unified" ? "" : key_of_name(name);
    found.push_back({std::move(key), std::string(root) + "/" + name, "/"});
  }
  // devices first: it decides what the container may touch, so its absence shows at once.
  std::ranges::stable_sort(found, {}, [](const Hierarchy& h) { return h.key != "devices"; });
  return found;
}

std::vector<Hierarchy> hierarchies_of_mountinfo(std::string_view mountinfo) {
  std::vector<Hierarchy> found;
  for (std::string_view line : split(mountinfo, "\n")) {
    size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    auto left = split(line.substr(0, dash), " ");
    auto right = split(line.substr(dash + 3), " ");
    if (left.size() < 6 || right.size() < 3) continue;
    Hierarchy hierarchy{"", unescape_mountinfo(left[4]), unescape_mountinfo(left[3])};
    if (right[0] == "cgroup") {
      // The superblock's options list the controllers among rw, xattr, release_agent=…
      for (std::string_view option : split(right[2], ",")) {
        if (!is_controller(option) && !option.starts_with("name=")) continue;
        if (!hierarchy.key.empty()) hierarchy.key += ',';
        hierarchy.key += option;
      }
      if (hierarchy.key.empty()) continue;
    } else if (right[0] != "cgroup2") {
      continue;
    }
    // The first mount of a hierarchy counts, as everywhere else.
    if (std::ranges::find(found, hierarchy.key, &Hierarchy::key) == found.end())
      found.push_back(std::move(hierarchy));
  }
  return found;
}

std::vector<Hierarchy> find_hierarchies(CgroupLayout layout) {
  if (layout == CgroupLayout::v2) return {{"", std::string(standard_root), "/"}};
  std::vector<Hierarchy> found;
  if (layout != CgroupLayout::none) {
    found = hierarchies_of_names(standard_root, child_cgroups(standard_root));
    if (layout == CgroupLayout::v1) std::erase_if(found, [](const Hierarchy& h) { return h.v2(); });
  }
  if (!found.empty()) return found;
  auto mountinfo = try_read_cgroup("/proc/self", "mountinfo");
  return mountinfo ? hierarchies_of_mountinfo(*mountinfo) : found;
}

std::map<std::string, std::string> parse_proc_cgroup(std::string_view text) {
  std::map<std::string, std::string> paths;
  for (std::string_view line : split(text, "\n")) {
    size_t first = line.find(':');
    size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    paths.emplace(line.substr(first + 1, second - first - 1), line.substr(second + 1));
  }
  return paths;
}

std::map<std::string, std::string> cgroups_of(std::string_view pid) {
  std::string dir = "/proc/" + std::string(pid);
  return parse_proc_cgroup(read_cgroup(dir, "cgroup"));
}

std::string directory_in(const Hierarchy& hierarchy,
                         const std::map<std::string, std::string>& process) {
  for (const auto& [key, path] : process) {
    // The order of co-mounted controllers differs between /proc and the mount's name.
    auto first = split(key, ",");
    if (hierarchy.v2() ? !key.empty() : first.empty() || !hierarchy_has(hierarchy.key, first[0]))
      continue;
    std::string_view below = path;
    if (hierarchy.mount_root != "/" && below.starts_with(hierarchy.mount_root))
      below.remove_prefix(hierarchy.mount_root.size());
    if (below == "/") below = "";
    return hierarchy.mount + std::string(below);
  }
  return {};
}

}  // namespace vessel
