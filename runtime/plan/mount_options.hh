// Owns: the option names of a mount, and what a list of them means.
// Does not own: the mount they belong to (mounts.cc).
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/plan/plan.hh"

namespace vessel {

// linux/mount.h
inline constexpr uint64_t mount_attr_rdonly = 0x00000001;
inline constexpr uint64_t mount_attr_nosuid = 0x00000002;
inline constexpr uint64_t mount_attr_nodev = 0x00000004;
inline constexpr uint64_t mount_attr_noexec = 0x00000008;
inline constexpr uint64_t mount_attr_atime = 0x00000070;  // the field; relatime is 0
inline constexpr uint64_t mount_attr_noatime = 0x00000010;
inline constexpr uint64_t mount_attr_strictatime = 0x00000020;
inline constexpr uint64_t mount_attr_nodiratime = 0x00000080;
inline constexpr uint64_t mount_attr_nosymfollow = 0x00200000;

struct MountOptions {
  bool bind = false, recursive_bind = false;
  bool remount = false;
  bool readonly = false;
  bool copy_up = false;
  bool idmap = false, recursive_idmap = false;
  // For a new mount `clear` is of no consequence; for a bind both are.
  MountAttributes attributes, recursive;
  Propagation propagation = Propagation::none;
  bool propagation_twice = false;  // two different ones were named; the last counts
  // Of the superblock, as fsconfig(2) knows them: sync, dirsync, lazytime, mand. A bind has none.
  std::vector<std::string> superblock_flags;
  // For the file system itself.
  std::vector<std::pair<std::string, std::optional<std::string>>> data;
};

// Options count in order, later ones against earlier ones. Names that are neither the spec's nor
// mount(8)'s go to the file system (config.md "Linux mount options").
MountOptions parse_mount_options(const std::vector<std::string>& options);

// The value of crun's option "idmap=uids=0-1-10#10-11-10;gids=@0-100-10", which podman passes on
// from --volume: ids of the file system, ids of the host, count; behind "@" the second are the
// container's (`uid_map`, `gid_map`). The error says what is wrong and what would be right.
std::expected<MountIdmap, std::string> parse_idmap_option(
    std::string_view value, const std::vector<oci::IdMapping>& uid_map,
    const std::vector<oci::IdMapping>& gid_map);

std::optional<Propagation> parse_propagation(std::string_view name);
std::string_view propagation_name(Propagation propagation);

// All names that are not passed to the file system, sorted, for `features`.
std::vector<std::string_view> known_mount_options();

}  // namespace vessel
