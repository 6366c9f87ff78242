#include <algorithm>
#include <array>

#include "runtime/plan/mount_options.hh"
#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

// File systems without a device or stored state of their own: read-only is a matter of the mount.
// Their superblocks may be shared with other mounts, which a read-only superblock would change.
bool is_pseudo(std::string_view type) {
  static constexpr std::array<std::string_view, 18> types = {
      "proc",   "sysfs",    "tmpfs",   "devpts",  "mqueue",    "devtmpfs",
      "ramfs",  "cgroup",   "cgroup2", "debugfs", "tracefs",   "securityfs",
      "pstore", "configfs", "bpf",     "binder",  "hugetlbfs", "binfmt_misc"};
  return std::find(types.begin(), types.end(), type) != types.end();
}

// Contexts of virtual file systems are fixed by the policy.
bool takes_label(std::string_view type) {
  return type != "proc" && type != "sysfs" && type != "mqueue";
}

std::string_view label_option(const PlanContext& context) {
  const auto found = context.config.annotations.find("run.oci.mount_context_type");
  if (found == context.config.annotations.end()) return "context";
  for (std::string_view known : {"context", "fscontext", "defcontext", "rootcontext"})
    if (found->second == known) return known;
  context.problems.config("annotations[\"run.oci.mount_context_type\"]",
                          "expected context, fscontext, defcontext or rootcontext");
  return "context";
}

class MountPlanner {
 public:
  MountPlanner(const PlanContext& context, const NamespacePlan& namespaces, size_t index)
      : context_(context),
        namespaces_(namespaces),
        index_(index),
        mount_(context.config.mounts[index]),
        options_(parse_mount_options(mount_.options)) {}

  MountStep plan() {
    step_.index = index_;
    destination();
    step_.attributes = options_.attributes;
    step_.recursive_attributes = options_.recursive;
    step_.propagation = options_.propagation;
    step_.remount = options_.remount;
    if (options_.propagation_twice)
      warn("options", "names several kinds of propagation, the last one counts");
    if (!options_.recursive.empty()) needs_kernel("options", 5, 12, "recursive options need");
    if ((options_.attributes.set | options_.recursive.set) & mount_attr_nosymfollow)
      needs_kernel("options", 5, 14, "nosymfollow needs");
    id_mapping();
    if (options_.copy_up && mount_.type != "tmpfs")
      problem("options", "tmpcopyup is only for tmpfs");
    // "A mount is a bind mount if it has either bind or rbind in the options"; the type alone is
    // understood too, as some callers write nothing else.
    if (options_.bind || mount_.type == "bind")
      bind();
    else if (mount_.type == "cgroup" || mount_.type == "cgroup2")
      cgroup();
    else
      filesystem();
    return std::move(step_);
  }

 private:
  void problem(std::string_view member, std::string message) {
    context_.problems.config(at("mounts", index_, member), std::move(message));
  }
  void warn(std::string_view member, std::string_view message) {
    context_.problems.warn(at("mounts", index_, member), message);
  }
  void needs_kernel(std::string_view member, uint32_t major, uint32_t minor,
                    std::string_view what) {
    if (context_.facts.kernel_at_least(major, minor)) return;
    context_.problems.host(
        at("mounts", index_, member),
        std::string(what) + " Linux " + std::to_string(major) + "." + std::to_string(minor));
  }

  void destination() {
    const std::string& path = mount_.destination;
    if (path.empty()) return problem("destination", "must not be empty");
    if (path[0] == '/') {
      step_.destination = path;
    } else {
      warn("destination", "relative paths are deprecated, taken as relative to /");
      step_.destination = "/" + path;
    }
    // It would lie on top of the root, where nothing inside looks.
    if (!options_.remount && clean_absolute(path) == "/")
      problem("destination", "is the root itself: that comes from root.path");
  }

  // crun's form of what the fields uidMappings and gidMappings say.
  void idmap_option() {
    for (auto& [key, value] : options_.data) {
      if ((key != "idmap" && key != "ridmap") || !value) continue;
      needs_kernel("options", 5, 12, "id-mapped mounts need");
      auto idmap = parse_idmap_option(*value, namespaces_.uid_mappings, namespaces_.gid_mappings);
      if (!idmap) {
        problem("options", idmap.error());
      } else {
        check_id_mappings(idmap->uid, at("mounts", index_, "options"), context_.problems);
        check_id_mappings(idmap->gid, at("mounts", index_, "options"), context_.problems);
        idmap->recursive = key == "ridmap";
        step_.idmap = std::move(*idmap);
      }
    }
    std::erase_if(options_.data, [](const auto& option) {
      return (option.first == "idmap" || option.first == "ridmap") && option.second;
    });
  }

  void id_mapping() {
    idmap_option();
    const bool own = !mount_.uid_mappings.empty() || !mount_.gid_mappings.empty();
    if (!own && !options_.idmap) return;
    needs_kernel(own ? "uidMappings" : "options", 5, 12, "id-mapped mounts need");
    if (own && (mount_.uid_mappings.empty() || mount_.gid_mappings.empty()))
      problem(mount_.uid_mappings.empty() ? "uidMappings" : "gidMappings",
              "must be given along with the other one");
    if (!own && !namespaces_.new_user && !namespaces_.joined_user)
      problem("options", "idmap without uidMappings and gidMappings needs a user namespace");
    if (context_.facts.euid != 0)
      context_.problems.host(at("mounts", index_),
                             "id-mapped mounts need privileges over the source's file system");
    check_id_mappings(mount_.uid_mappings, at("mounts", index_, "uidMappings"), context_.problems);
    check_id_mappings(mount_.gid_mappings, at("mounts", index_, "gidMappings"), context_.problems);
    step_.idmap = MountIdmap{mount_.uid_mappings, mount_.gid_mappings, options_.recursive_idmap};
  }

  void bind() {
    if (!options_.remount) {
      if (mount_.source.empty()) problem("source", "is required for a bind mount");
      // Another superblock's options cannot be set here; mount(2) ignores them, and configs that
      // were made from a tmpfs carry them.
      for (const auto& [key, value] : options_.data)
        if (key != "acl" && key != "noacl")
          context_.problems.warn(at("mounts", index_, "options"),
                                 "a bind mount takes no file system option, \"" +
                                     (value ? key + "=" + *value : key) + "\" is left out");
    }
    BindMount bind;
    bind.recursive = options_.recursive_bind;
    bind.source = mount_.source.starts_with('/') ? mount_.source
                                                 : context_.options.bundle + "/" + mount_.source;
    step_.what = std::move(bind);
  }

  void cgroup() {
    // Without a namespace the container sees the host's tree: where its root is another user, it
    // could write to what that user owns on the host (CVE-2023-25809).
    const bool foreign = context_.rootless || namespaces_.is_private(NamespaceKind::user);
    const bool forced = foreign && !namespaces_.is_private(NamespaceKind::cgroup);
    if (forced) step_.attributes.set |= mount_attr_rdonly;
    if (forced) step_.attributes.clear &= ~mount_attr_rdonly;
    // "rro" is no more than "ro" here, which each mount of the tree gets once it is in its place.
    const bool readonly =
        options_.readonly || forced || (step_.recursive_attributes.set & mount_attr_rdonly) != 0;
    if (readonly) step_.attributes.set |= mount_attr_rdonly;
    step_.recursive_attributes.set &= ~mount_attr_rdonly;
    step_.what = CgroupMount{readonly};
  }

  void filesystem() {
    if (mount_.type.empty() || mount_.type == "none") {
      if (!options_.remount) problem("type", "is required for a mount that is not a bind mount");
      return;
    }
    FilesystemMount fs;
    fs.fs_type = mount_.type;
    fs.source = mount_.source.empty() ? mount_.type : mount_.source;
    fs.readonly_superblock = options_.readonly && !is_pseudo(mount_.type);
    fs.copy_up = options_.copy_up;
    fs.options.reserve(options_.data.size() + options_.superblock_flags.size());
    for (std::string& flag : options_.superblock_flags)
      fs.options.emplace_back(std::move(flag), std::nullopt);
    for (auto& option : options_.data) {
      check_mapped(option);
      fs.options.push_back(std::move(option));
    }
    const std::string& label = context_.linux_.mount_label;
    if (!label.empty() && context_.facts.selinux && takes_label(mount_.type))
      fs.options.emplace_back(label_option(context_), label);
    // The image must not decide where these land (CVE-2019-19921).
    step_.no_symlink_at_target = mount_.type == "proc" || mount_.type == "sysfs";
    step_.what = std::move(fs);
  }

  // The kernel says no more than EINVAL when an owner is outside the user namespace.
  void check_mapped(const std::pair<std::string, std::optional<std::string>>& option) {
    if (!namespaces_.new_user || !option.second || mount_.type == "overlay") return;
    const bool uid = option.first == "uid";
    if (!uid && option.first != "gid") return;
    uint64_t id = 0;
    for (char c : *option.second) {
      if (c < '0' || c > '9' || id > 0xffffffff) return;
      id = id * 10 + static_cast<uint64_t>(c - '0');
    }
    const auto& map = uid ? namespaces_.uid_mappings : namespaces_.gid_mappings;
    if (id > 0xffffffff || map.empty() || map_to_host(map, static_cast<uint32_t>(id))) return;
    problem("options",
            option.first + "=" + *option.second + " is not mapped in the user namespace");
  }

  const PlanContext& context_;
  const NamespacePlan& namespaces_;
  const size_t index_;
  const oci::Mount& mount_;
  MountOptions options_;
  MountStep step_;
};

}  // namespace

std::vector<MountStep> plan_mounts(const PlanContext& context, const NamespacePlan& namespaces) {
  std::vector<MountStep> steps;
  const size_t count = context.config.mounts.size();
  steps.reserve(count);
  for (size_t i = 0; i < count; ++i) steps.push_back(MountPlanner(context, namespaces, i).plan());
  if (count > 0 && !namespaces.is_private(NamespaceKind::mount))
    context.problems.warn("mounts", "without a mount namespace they are made in the caller's");
  return steps;
}

}  // namespace vessel
