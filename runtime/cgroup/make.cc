// Making the directories of a cgroup, with what each level must hand down.
#include <sys/stat.h>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/state.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

// Makes `dir` and the missing parents below `mount`. `prepared` is called for each level that was
// made or passed on the slow way, outermost first.
template <typename Prepare>
bool make_levels(const std::string& mount, const std::string& dir, std::vector<std::string>& made,
                 Prepare prepare) {
  // 0755 whatever the umask: whoever may list cgroups on this host may list these.
  auto make = [&](const std::string& path) {
    if (::mkdir(path.c_str(), 0755) < 0) return errno;
    made.push_back(path);
    return 0;
  };
  int error = make(dir);
  if (error == ENOENT) {
    for (size_t at = dir.find('/', mount.size() + 1); at != std::string::npos;
         at = dir.find('/', at + 1)) {
      std::string parent = dir.substr(0, at);
      int failed = make(parent);
      if (failed && failed != EEXIST) throw SysError("mkdir " + parent, failed);
      prepare(parent);
    }
    error = make(dir);
  }
  if (error && error != EEXIST) throw SysError("mkdir " + dir, error);
  return error == 0;
}

void inherit_cpuset_file(const std::string& dir, bool fresh, const std::string& parent,
                         std::string_view file) {
  if (!fresh) {
    auto own = try_read_cgroup(dir, file);
    if (own && !trim(*own).empty()) return;
  }
  std::string inherited = read_cgroup(parent, file);
  write_cgroup(dir, file, trim(inherited));
}

}  // namespace

void inherit_cpuset(const std::string& dir, bool fresh, bool cpus, bool mems) {
  // No task may enter a v1 cpuset without CPUs or memory nodes, and new ones have none.
  std::string parent = dir.substr(0, dir.rfind('/'));
  if (cpus) inherit_cpuset_file(dir, fresh, parent, "cpuset.cpus");
  if (mems) inherit_cpuset_file(dir, fresh, parent, "cpuset.mems");
}

bool make_v1_cgroup(const std::string& mount, const std::string& dir, bool cpuset,
                    std::vector<std::string>& made) {
  return make_levels(mount, dir, made, [&](const std::string& level) {
    if (cpuset) inherit_cpuset(level, false, true, true);
  });
}

bool make_v2_cgroup(const std::string& mount, const std::string& dir,
                    std::vector<std::string>& made) {
  return make_levels(mount, dir, made, [](const std::string&) {});
}

void enable_controllers(const std::string& mount, const std::string& dir,
                        const std::set<std::string, std::less<>>& wanted) {
  if (wanted.empty()) return;
  std::string all;
  for (const std::string& controller : wanted) all += (all.empty() ? "+" : " +") + controller;
  auto enable = [&](const std::string& level) {
    if (try_write_cgroup(level, "cgroup.subtree_control", all) == 0) return;
    // One that cannot be had (not delegated, busy) must not keep the others away. What is really
    // needed and missing shows when its limit is written.
    for (const std::string& controller : wanted)
      try_write_cgroup(level, "cgroup.subtree_control", "+" + controller);
  };
  enable(mount);
  for (size_t at = dir.find('/', mount.size() + 1); at != std::string::npos;
       at = dir.find('/', at + 1))
    enable(dir.substr(0, at));
}

}  // namespace vessel
