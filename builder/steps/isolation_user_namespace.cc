#include "builder/steps/isolation_user_namespace.hh"

#include <algorithm>

namespace kiln {

void fit_to_user_namespace(oci::Config& config, uint32_t ids) {
  if (ids == UINT32_MAX) return;
  constexpr uint32_t tty_group = 5;
  const bool own_network = std::ranges::any_of(
      config.linux_->namespaces,
      [](const oci::Namespace& n) { return n.type == "network" && n.path.empty(); });
  // With a single id setgroups(2) is denied for good. Groups that no file here can have are no
  // loss.
  if (ids == 1) config.annotations[keep_groups_annotation] = "1";
  if (config.process)
    std::erase_if(config.process->user.additional_gids,
                  [&](uint32_t id) { return ids == 1 || id >= ids; });
  for (oci::Mount& mount : config.mounts) {
    if (mount.destination == "/dev/pts" && ids <= tty_group) std::erase(mount.options, "gid=5");
    // sysfs can be mounted only by the owner of the network namespace.
    if (mount.destination == "/sys" && !own_network)
      mount = {"/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"}, {}, {}};
  }
  // It comes with the host's /sys.
  if (!own_network)
    std::erase_if(config.mounts,
                  [](const oci::Mount& m) { return m.destination == "/sys/fs/cgroup"; });
}

}  // namespace kiln
