// Owns: what a Cgroup object holds, for the files of this room that implement it.
// Does not own: any behaviour; not for other rooms.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/cgroup/cgroup.hh"
#include "runtime/cgroup/resources.hh"

namespace vessel {

class SystemdUnit;

struct Cgroup::State {
  CgroupRecord record;
  std::vector<std::string> warnings;
  // Hierarchies whose directory this object made: no device program can be there yet.
  std::set<std::string> made;
  // All of them are new, so nothing is limited yet (what systemd set for us is what we write).
  bool fresh = false;
  bool complete = false;  // Cgroup::in_every_hierarchy
  // Directories made on the way, outermost first: removed again when creation fails.
  std::vector<std::string> made_dirs;
  bool creating = false;
  bool rootless = false;              // CgroupPlan::optional
  bool opened = false;                // by Cgroup::open: the container is there
  std::unique_ptr<SystemdUnit> unit;  // systemd driver, while its bus connection is of use
  std::optional<std::set<std::string, std::less<>>> v2_controllers;  // read once

  State();
  ~State();

  // The directory of the v1 hierarchy with this controller; nullptr when there is none.
  const std::string* v1_dir(std::string_view controller) const;
  const std::string* v2_dir() const;
  // Where a controller is: v1's directory, else v2's when its cgroup.controllers lists it. "blkio"
  // is v1's name only; "io" v2's; "" the v2 directory itself.
  ControllerAt where(std::string_view controller);
  // The directory that `where` speaks of; nullptr for nowhere.
  const std::string* dir_of(std::string_view controller);
  // Controllers usable in the v2 directory.
  const std::set<std::string, std::less<>>& controllers_v2();
};

// create.cc: mkdir -p of one v1 or v2 directory with what each level needs (cpuset values copied
// down on v1, controllers handed down on v2). Returns false when the last part was there already.
// What is made is appended to `made`, outermost first. Throws SysError.
bool make_v1_cgroup(const std::string& mount, const std::string& dir, bool cpuset,
                    std::vector<std::string>& made);
bool make_v2_cgroup(const std::string& mount, const std::string& dir,
                    std::vector<std::string>& made);
// Hands every controller that `mount` has down to `dir`, level by level.
void enable_controllers(const std::string& mount, const std::string& dir,
                        const std::set<std::string, std::less<>>& wanted);
// cpuset.cpus and cpuset.mems (those asked for) of a v1 cgroup that has none, from its parent.
void inherit_cpuset(const std::string& dir, bool fresh, bool cpus, bool mems);

// processes.cc: pids in `dir` and below; 0 (a process of an outer pid namespace) left out.
std::vector<pid_t> pids_below(const std::string& dir);
// Removes `dir` and everything below, once empty. Returns 0 or the errno of the last rmdir.
int remove_tree(const std::string& dir);

}  // namespace vessel
