// Owns: which cgroup hierarchies this host has, where they are mounted, and where a process is in
// them.
// Does not own: making or using a cgroup there.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/host/facts.hh"

namespace vessel {

struct Hierarchy {
  // "" for v2, else the controllers as mounted, joined by commas ("memory", "cpu,cpuacct",
  // "name=systemd"): the key in CgroupRecord::paths.
  std::string key;
  std::string mount;       // "/sys/fs/cgroup/memory"
  std::string mount_root;  // the cgroup that `mount` shows; "/" unless read from mountinfo
  bool v2() const { return key.empty(); }
};

// Does the key of a v1 hierarchy name this controller?
bool hierarchy_has(std::string_view key, std::string_view controller);

// From a listing of /sys/fs/cgroup; mountinfo (1.5 ms) is read only when that shows none.
std::vector<Hierarchy> find_hierarchies(CgroupLayout layout);

// The pure parts. `names` are the directories in /sys/fs/cgroup, symbolic links left out.
std::vector<Hierarchy> hierarchies_of_names(std::string_view root,
                                            const std::vector<std::string>& names);
std::vector<Hierarchy> hierarchies_of_mountinfo(std::string_view mountinfo);

// /proc/PID/cgroup: key (controllers as the kernel lists them, "" for v2) -> path.
std::map<std::string, std::string> parse_proc_cgroup(std::string_view text);
// The same, read for "self" or a pid. Throws SysError.
std::map<std::string, std::string> cgroups_of(std::string_view pid);

// The path of a process in `hierarchy` as a directory on the host; empty when it is not listed.
// `mount_root` is stripped where the mount shows only a part of the hierarchy.
std::string directory_in(const Hierarchy& hierarchy,
                         const std::map<std::string, std::string>& process);

}  // namespace vessel
