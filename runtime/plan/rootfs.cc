#include "runtime/plan/mount_options.hh"
#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

// Without those that are the root itself: a mount on top of that would restrict nothing.
std::vector<std::string> below_root(std::vector<std::string> paths) {
  std::erase_if(paths, [](const std::string& path) { return clean_absolute(path) == "/"; });
  return paths;
}

void check_paths(const std::vector<std::string>& paths, std::string_view member,
                 const PlanContext& context, const NamespacePlan& namespaces) {
  if (!paths.empty() && !namespaces.is_private(NamespaceKind::mount))
    context.problems.config(std::string(member), "needs a mount namespace in linux.namespaces");
  for (size_t i = 0; i < paths.size(); ++i)
    if (!paths[i].starts_with('/'))
      context.problems.config(at(member, i), "expected an absolute path");
}

Propagation root_propagation(const PlanContext& context) {
  const std::string& name = context.linux_.rootfs_propagation;
  if (name.empty()) return Propagation::rslave;
  const std::optional<Propagation> known = parse_propagation(name);
  if (!known) {
    context.problems.config("linux.rootfsPropagation",
                            "expected private, shared, slave or unbindable, got \"" + name + "\"");
    return Propagation::rslave;
  }
  // Without pivot_root the old root stays reachable; private keeps the host from unmounting there.
  if (context.options.no_pivot &&
      (*known == Propagation::private_ || *known == Propagation::rprivate))
    context.problems.config("linux.rootfsPropagation",
                            "private is not safe without pivot_root (--no-pivot)");
  return *known;
}

}  // namespace

RootfsPlan plan_rootfs(const PlanContext& context, const NamespacePlan& namespaces) {
  RootfsPlan plan;
  if (!context.config.root) {
    context.problems.config("root", "is required");
  } else {
    const oci::Root& root = *context.config.root;
    if (root.path.empty()) context.problems.config("root.path", "must not be empty");
    plan.path = clean_absolute(
        root.path.starts_with('/') ? root.path : context.options.bundle + "/" + root.path);
    plan.readonly = root.readonly;
  }
  plan.propagation = root_propagation(context);
  plan.root_switch = !namespaces.is_private(NamespaceKind::mount) ? RootSwitch::chroot
                     : context.options.no_pivot                   ? RootSwitch::move
                                                                  : RootSwitch::pivot;
  plan.mounts = plan_mounts(context, namespaces);
  plan_devices(context, namespaces, plan);
  check_paths(context.linux_.masked_paths, "linux.maskedPaths", context, namespaces);
  check_paths(context.linux_.readonly_paths, "linux.readonlyPaths", context, namespaces);
  plan.masked_paths = below_root(context.linux_.masked_paths);
  if (plan.masked_paths.size() != context.linux_.masked_paths.size())
    context.problems.config("linux.maskedPaths", "the root itself cannot be masked");
  plan.readonly_paths = below_root(context.linux_.readonly_paths);
  if (plan.readonly_paths.size() != context.linux_.readonly_paths.size()) plan.readonly = true;
  plan.bind_console = context.config.process && context.config.process->terminal;
  if (context.facts.selinux) plan.mount_label = context.linux_.mount_label;
  return plan;
}

}  // namespace vessel
