#include "runtime/rootfs/self_cgroups.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr std::string_view named_prefix = "name=";

bool exists(const std::string& path) {
  return faccessat(AT_FDCWD, path.c_str(), F_OK, 0) == 0;
}

// In a container without a cgroup namespace the mounts show a part of the tree, while
// /proc/self/cgroup counts from the top: the leading components are then not there.
std::string below_mount(const std::string& mount, std::string_view path) {
  for (;;) {
    const std::string candidate = mount + (path == "/" ? "" : std::string(path));
    if (path.size() <= 1 || exists(candidate)) return candidate;
    const size_t next = path.find('/', 1);
    path = next == path.npos ? "/" : path.substr(next);
  }
}

// Without its path.
SelfCgroup named(std::string_view controllers, const std::string& unified_directory) {
  SelfCgroup cgroup;
  cgroup.controllers = controllers;
  cgroup.directory = controllers.empty() ? unified_directory : cgroup.controllers;
  if (controllers.starts_with(named_prefix)) cgroup.directory.erase(0, named_prefix.size());
  return cgroup;
}

}  // namespace

std::vector<SelfCgroup> known_cgroups(const std::map<std::string, std::string>& known,
                                      const std::string& unified_directory) {
  std::vector<SelfCgroup> found;
  found.reserve(known.size());
  for (const auto& [controllers, path] : known) {
    found.push_back(named(controllers, unified_directory));
    found.back().host_path = path;
  }
  return found;
}

std::vector<SelfCgroup> self_cgroups(std::string_view text,
                                     const std::map<std::string, std::string>& known,
                                     const std::string& mount_root,
                                     const std::string& unified_directory) {
  std::vector<SelfCgroup> found;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos || line.substr(second + 1, 1) != "/")
      throw Error("/proc/self/cgroup: \"" + std::string(line) + "\" is not ID:CONTROLLERS:/PATH");

    SelfCgroup cgroup = named(line.substr(first + 1, second - first - 1), unified_directory);
    std::string mount = mount_root + "/" + cgroup.directory;
    if (const auto path = known.find(cgroup.controllers); path != known.end()) {
      cgroup.host_path = path->second;
      found.push_back(std::move(cgroup));
      continue;
    }
    bool there = exists(mount);
    if (const size_t comma = mount.find(','); !there && comma != mount.npos) {
      // Some hosts join the names in another order, with a link for each.
      mount.resize(comma);
      there = exists(mount);
    }
    if (!there) continue;
    cgroup.host_path = below_mount(mount, line.substr(second + 1));
    found.push_back(std::move(cgroup));
  }
  return found;
}

}  // namespace vessel
