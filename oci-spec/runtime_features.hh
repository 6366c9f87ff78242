// Owns: the features document of runtime-spec 1.3.0 (features.md, features-linux.md).
// Does not own: what a runtime can do.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oci {

// An absent boolean means "unknown" (features-linux.md); an empty list is written as absent.

struct CgroupFeatures {
  std::optional<bool> v1, v2, systemd, systemd_user, rdma;
};

struct SeccompFeatures {
  std::optional<bool> enabled;
  std::vector<std::string> actions, operators, archs, known_flags, supported_flags;
};

struct EnabledFeature {
  std::optional<bool> enabled;
};

struct IntelRdtFeatures {
  std::optional<bool> enabled, schemata, monitoring;
};

struct MemoryPolicyFeatures {
  std::vector<std::string> modes, flags;
};

struct MountExtensions {
  std::optional<EnabledFeature> idmap;
};

struct LinuxFeatures {
  std::vector<std::string> namespaces, capabilities;
  std::optional<CgroupFeatures> cgroup;
  std::optional<SeccompFeatures> seccomp;
  std::optional<EnabledFeature> apparmor, selinux;
  std::optional<IntelRdtFeatures> intel_rdt;
  std::optional<MemoryPolicyFeatures> memory_policy;
  std::optional<MountExtensions> mount_extensions;
  std::optional<EnabledFeature> net_devices;
};

struct Features {
  std::string version_min, version_max;  // ociVersionMin, ociVersionMax
  std::vector<std::string> hooks, mount_options;
  std::optional<LinuxFeatures> linux_;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> potentially_unsafe_config_annotations;
};

// Throws FormatError with every problem and its JSON path.
Features read_features(std::string_view json, std::string_view file);
std::string write(const Features& features, int indent = -1);

}  // namespace oci
