#include <algorithm>
#include <array>
#include <optional>

#include "runtime/plan/namespace_names.hh"
#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

// CLONE_NEW* of sched.h, by NamespaceKind.
constexpr std::array<uint64_t, namespace_kind_count> clone_bits = {
    0x10000000,  // user
    0x00020000,  // mount
    0x20000000,  // pid
    0x40000000,  // network
    0x08000000,  // ipc
    0x04000000,  // uts
    0x02000000,  // cgroup
    0x00000080,  // time
};

// A mount namespace brings its own root and working directory, hence last; the files of all of
// them are opened before the first is joined.
constexpr std::array<NamespaceKind, 7> join_order = {
    NamespaceKind::ipc,  NamespaceKind::uts, NamespaceKind::network, NamespaceKind::cgroup,
    NamespaceKind::time, NamespaceKind::pid, NamespaceKind::mount};

// Writing a map with more than one's own id needs CAP_SETUID and CAP_SETGID over the parent user
// namespace (user_namespaces(7)), or the set-uid tools and /etc/subuid.
bool is_own_id(const std::vector<oci::IdMapping>& mappings, uint32_t id) {
  return mappings.size() == 1 && mappings[0].size == 1 && mappings[0].host_id == id;
}

void plan_user(const PlanContext& context, NamespacePlan& plan) {
  const oci::Linux& linux_ = context.linux_;
  plan.new_user = plan.is_new(NamespaceKind::user);
  plan.joined_user = plan.is_joined(NamespaceKind::user);
  const bool mapped = !linux_.uid_mappings.empty() || !linux_.gid_mappings.empty();
  if (!plan.new_user && !plan.joined_user) {
    if (mapped)
      context.problems.config(
          linux_.uid_mappings.empty() ? "linux.gidMappings" : "linux.uidMappings",
          "needs a user namespace in linux.namespaces");
    return;
  }
  check_id_mappings(linux_.uid_mappings, "linux.uidMappings", context.problems);
  check_id_mappings(linux_.gid_mappings, "linux.gidMappings", context.problems);
  plan.uid_mappings = linux_.uid_mappings;
  plan.gid_mappings = linux_.gid_mappings;
  if (!plan.new_user) return;
  if (linux_.uid_mappings.empty())
    context.problems.config("linux.uidMappings", "a new user namespace needs at least one");
  if (linux_.gid_mappings.empty())
    context.problems.config("linux.gidMappings", "a new user namespace needs at least one");
  if (context.facts.euid == 0) return;
  plan.mappings_by_tool = !is_own_id(linux_.uid_mappings, context.facts.euid) ||
                          !is_own_id(linux_.gid_mappings, context.facts.egid);
  // Since Linux 3.19 an unprivileged gid_map is taken only with setgroups(2) denied
  // (CVE-2014-8989).
  plan.deny_setgroups = !plan.mappings_by_tool;
}

void plan_time(const PlanContext& context, NamespacePlan& plan) {
  const auto& offsets = context.linux_.time_offsets;
  const bool wanted = plan.is_private(NamespaceKind::time);
  if (wanted && !context.facts.time_namespace)
    context.problems.host("linux.namespaces", "this kernel has no time namespaces (Linux 5.6)");
  if (offsets.empty()) return;
  if (!plan.is_new(NamespaceKind::time))
    context.problems.config("linux.timeOffsets",
                            wanted ? "cannot be set for a time namespace that is joined by path"
                                   : "needs a new time namespace in linux.namespaces");
  for (const auto& [clock, offset] : offsets) {
    if (clock != "monotonic" && clock != "boottime")
      context.problems.config("linux.timeOffsets." + clock, "expected monotonic or boottime");
    if (offset.nanosecs >= 1'000'000'000)
      context.problems.config("linux.timeOffsets." + clock + ".nanosecs",
                              "expected 0 to 999999999");
  }
  plan.time_offsets = offsets;
  // clone3(CLONE_NEWTIME) puts the child inside at once, and a namespace that has a process takes
  // no offsets any more.
  plan.time_by_helper = plan.is_new(NamespaceKind::time);
}

}  // namespace

std::optional<NamespaceKind> namespace_kind(std::string_view type) {
  for (size_t i = 0; i < namespace_names.size(); ++i)
    if (namespace_names[i] == type) return static_cast<NamespaceKind>(i);
  return std::nullopt;
}

std::string_view namespace_name(NamespaceKind kind) {
  return namespace_names[static_cast<size_t>(kind)];
}

NamespacePlan plan_namespaces(const PlanContext& context) {
  NamespacePlan plan;
  std::array<const std::string*, namespace_kind_count> paths{};
  const auto& list = context.linux_.namespaces;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::optional<NamespaceKind> kind = namespace_kind(list[i].type);
    if (!kind) {
      context.problems.config(at("linux.namespaces", i, "type"),
                              "unknown namespace type \"" + list[i].type + "\"");
      continue;
    }
    const auto index = static_cast<size_t>(*kind);
    if (plan.own[index] != 0)
      context.problems.config(at("linux.namespaces", i, "type"),
                              "a second namespace of type " + list[i].type);
    plan.own[index] = list[i].path.empty() ? 1 : 2;
    paths[index] = &list[i].path;
  }
  plan_user(context, plan);
  plan_time(context, plan);

  const auto join = [&](NamespaceKind kind) {
    if (plan.is_joined(kind)) plan.join.push_back({kind, *paths[static_cast<size_t>(kind)]});
  };
  // Without privileges only the joined user namespace gives the right to join the others. With
  // them the others go first: they may belong to the host's user namespace, over which a process
  // loses every capability once it is in another one; and setns(2) into those that belong to the
  // joined one works from outside too.
  const bool privileged = context.facts.euid == 0;
  if (!privileged) join(NamespaceKind::user);
  for (NamespaceKind kind : join_order) join(kind);
  if (privileged) join(NamespaceKind::user);

  for (size_t i = 0; i < clone_bits.size(); ++i)
    if (plan.own[i] == 1) plan.clone_flags |= clone_bits[i];
  const auto drop = [&](NamespaceKind kind) {
    plan.clone_flags &= ~clone_bits[static_cast<size_t>(kind)];
  };
  if (plan.time_by_helper) drop(NamespaceKind::time);
  // The namespace's root is the cgroup that its maker is in: on v2 CLONE_INTO_CGROUP comes first,
  // v1 hierarchies are entered by writing, after the clone.
  plan.unshare_cgroup_late = plan.is_new(NamespaceKind::cgroup) &&
                             context.facts.cgroup_layout != CgroupLayout::v2 &&
                             context.facts.cgroup_layout != CgroupLayout::none;
  if (plan.unshare_cgroup_late) drop(NamespaceKind::cgroup);
  plan.needs_helper = !plan.join.empty() || plan.time_by_helper;
  return plan;
}

}  // namespace vessel
