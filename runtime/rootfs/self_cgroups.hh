// Owns: which cgroup hierarchies a v1 or hybrid host has, and where the container's part of each
// lies, from the text of /proc/self/cgroup.
// Does not own: mounting them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vessel {

struct SelfCgroup {
  std::string directory;    // its name below /sys/fs/cgroup: "cpu,cpuacct", "systemd", "unified"
  std::string controllers;  // as mount(2) takes them: "cpu,cpuacct", "name=systemd"; "" for v2
  std::string host_path;    // the container's part, absolute on the host
};

// `text` as the kernel writes it (cgroups(7)), in its order. `known` (CgroupRecord::paths) says
// where a hierarchy's part lies; of others it is below `mount_root` at the path in `text`.
// Hierarchies that are not mounted under `mount_root` are left out. Throws Error on a line that is
// not of the kernel's form.
std::vector<SelfCgroup> self_cgroups(std::string_view text,
                                     const std::map<std::string, std::string>& known,
                                     const std::string& mount_root,
                                     const std::string& unified_directory);

// The same where `known` has every hierarchy that this host mounts.
std::vector<SelfCgroup> known_cgroups(const std::map<std::string, std::string>& known,
                                      const std::string& unified_directory);

}  // namespace vessel
