// Cgroup::create: which directories, whose they are, and undoing a half-made set.
#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/hierarchy.hh"
#include "runtime/cgroup/state.hh"
#include "runtime/cgroup/systemd_unit.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

using Controllers = std::set<std::string, std::less<>>;

Controllers words(std::string_view text) {
  Controllers set;
  for (std::string_view word : split(text, " \n")) set.emplace(word);
  return set;
}

// The mark that says whose cgroup this is, so that a second container is not put into the cgroup of
// one that has stopped but is not deleted. v1 has trusted.* only, which needs CAP_SYS_ADMIN in the
// first user namespace; without that there is no mark.
const char* mark_name(bool v2) {
  return v2 ? "user.vessel.container" : "trusted.vessel.container";
}

void check_owner(const std::string& dir, bool v2, std::string_view id) {
  char owner[1024];
  ssize_t size = ::getxattr(dir.c_str(), mark_name(v2), owner, sizeof owner);
  if (size < 0) return;
  std::string_view name(owner, static_cast<size_t>(size));
  if (name != id)
    throw Error("cgroup " + dir + " belongs to container \"" + std::string(name) + "\"");
}

void check_unused(const std::string& dir, bool v2, std::string_view id) {
  check_owner(dir, v2, id);
  if (size_t count = pids_below(dir).size())
    throw CgroupInUse("cgroup " + dir + " is not empty: " + std::to_string(count) +
                      " process(es) found in it");
  auto frozen = try_read_cgroup(dir, v2 ? "cgroup.freeze" : "freezer.state");
  if (frozen && (trim(*frozen) == "1" || trim(*frozen) == "FROZEN"))
    throw Error("cgroup " + dir + " is frozen");
}

// "/a/b" below the mount, "b" below where vessel itself is (beside it on v2).
std::string target_dir(const Hierarchy& hierarchy, const std::string& path,
                       const std::map<std::string, std::string>& self) {
  if (path.starts_with('/')) return path == "/" ? hierarchy.mount : hierarchy.mount + path;
  std::string own = directory_in(hierarchy, self);
  if (own.empty()) own = hierarchy.mount;
  if (hierarchy.v2() && own.size() > hierarchy.mount.size()) own.resize(own.rfind('/'));
  return own + "/" + path;
}

// v1 and hybrid mounts that show only a part of their hierarchy (a container without a cgroup
// namespace) are told by mountinfo alone: asked when vessel's own path is not where it should be.
void find_mount_roots(std::vector<Hierarchy>& hierarchies,
                      const std::map<std::string, std::string>& self) {
  for (const Hierarchy& h : hierarchies) {
    std::string own = directory_in(h, self);
    if (own.empty() || own == h.mount || ::access(own.c_str(), F_OK) == 0) continue;
    auto mountinfo = try_read_cgroup("/proc/self", "mountinfo");
    if (mountinfo) hierarchies = hierarchies_of_mountinfo(*mountinfo);
    return;
  }
}

bool is_permission(int error) {
  return error == EACCES || error == EPERM || error == EROFS;
}

bool wants_limits(const oci::Resources& r) {
  return r.memory || r.cpu || (r.pids && r.pids->limit.value_or(0) > 0) || r.block_io ||
         !r.hugepage_limits.empty() || !r.rdma.empty() || !r.unified.empty();
}

// Controllers that a hybrid host is likely to have on its v2 side.
bool wants_v2_on_hybrid(const oci::Resources& r) {
  return !r.hugepage_limits.empty() || !r.rdma.empty() || !r.unified.empty();
}

}  // namespace

Cgroup Cgroup::create(const CgroupPlan& plan, std::string_view container_id, const HostFacts& facts,
                      ProcessCgroups start) {
  if (plan.driver == CgroupDriver::none) return Cgroup();
  auto state = std::make_unique<State>();
  state->creating = true;
  state->rootless = plan.optional;
  state->record.delegate = plan.delegate;
  auto hierarchies = find_hierarchies(facts.cgroup_layout);
  if (hierarchies.empty()) {
    if (plan.optional || !wants_limits(plan.resources)) return Cgroup();
    throw Error("no cgroup hierarchy is mounted, so resource limits cannot be set");
  }

  std::string path = plan.path;
  if (plan.driver == CgroupDriver::systemd) {
    state->unit = SystemdUnit::start(*plan.systemd, container_id, plan.resources, facts);
    path = state->unit->cgroup_path();
    state->record.unit = state->unit->name();
    state->record.user_bus = state->unit->on_user_bus();
    // On v2 the scope keeps the limits: the process that systemd started it with lives in it, so
    // that no controller can be handed down yet.
    const std::string& subgroup = plan.systemd->subgroup;
    if (!subgroup.empty() && facts.cgroup_layout != CgroupLayout::v2)
      path += "/" + subgroup;
    else if (!subgroup.empty())
      state->record.delegate = plan.delegate.empty() ? subgroup : subgroup + "/" + plan.delegate;
  } else if (!path.starts_with('/')) {
    if (start.empty()) start = cgroups_of("self");
    find_mount_roots(hierarchies, start);
  }

  bool refused = false;
  state->fresh = true;
  for (const Hierarchy& h : hierarchies) {
    std::string dir = target_dir(h, path, start);
    try {
      bool cpuset = hierarchy_has(h.key, "cpuset");
      bool fresh = h.v2() ? make_v2_cgroup(h.mount, dir, state->made_dirs)
                          : make_v1_cgroup(h.mount, dir, cpuset, state->made_dirs);
      bool by_systemd = !fresh && state->unit;
      if (fresh)
        state->made.insert(h.key);
      else if (!by_systemd) {
        check_unused(dir, h.v2(), container_id);
        state->fresh = false;
      }
      // One mark is enough: every container here shares all hierarchies or none.
      if (state->record.paths.empty())
        ::setxattr(dir.c_str(), mark_name(h.v2()), container_id.data(), container_id.size(), 0);
      state->record.paths[h.key] = dir;
      if (cpuset) {
        // What the config names is written by apply, before any process enters.
        const auto& cpu = plan.resources.cpu;
        inherit_cpuset(dir, fresh, !cpu || cpu->cpus.empty(), !cpu || cpu->mems.empty());
      }
      // On hybrid hosts only when asked for: the rest of the host lives without them.
      if (h.v2() && (hierarchies.size() == 1 || wants_v2_on_hybrid(plan.resources))) {
        Controllers wanted = words(read_cgroup(h.mount, "cgroup.controllers"));
        Controllers have = words(read_cgroup(dir, "cgroup.controllers"));
        if (!std::ranges::includes(have, wanted)) enable_controllers(h.mount, dir, wanted);
      }
    } catch (SysError& error) {
      // Rootless: some v1 hierarchies, or all, may not be ours to write in.
      if (!plan.optional || !is_permission(error.code())) throw;
      refused = true;
      if (state->record.paths.erase(h.key) != 0) {  // made, but of no use
        ::rmdir(dir.c_str());
        state->made.erase(h.key);
      }
      if (wants_limits(plan.resources) && hierarchies.size() == 1)
        throw error.prepend("resource limits need a cgroup that this user may write to");
    }
  }
  if (refused && state->record.paths.empty())
    state->warnings.push_back("no cgroup of its own: this user may not make one");
  const std::string& delegate = state->record.delegate;
  if (!delegate.empty() && state->v2_dir())
    make_v2_cgroup(*state->v2_dir(), *state->v2_dir() + "/" + delegate, state->made_dirs);
  state->complete = !refused;
  state->creating = false;
  return Cgroup(std::move(state));
}

}  // namespace vessel
