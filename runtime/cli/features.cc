#include "runtime/cli/inspect.hh"
#include "runtime/plan/capability_names.hh"
#include "runtime/plan/mount_options.hh"
#include "runtime/plan/namespace_names.hh"
#include "runtime/plan/scheduling_names.hh"
#include "runtime/security/seccomp.hh"

#include <algorithm>

namespace vessel {

namespace {

template <class Range>
std::vector<std::string> strings(const Range& names) {
  return {names.begin(), names.end()};
}

template <size_t N>
std::vector<std::string> names_of(const std::array<NamedValue, N>& table) {
  std::vector<std::string> names;
  for (const NamedValue& v : table) names.emplace_back(v.name);
  return names;
}

}  // namespace

oci::Features runtime_features(std::string_view program_version) {
  oci::Features f;
  f.version_min = "1.0.0";
  f.version_max = oci::runtime_spec_version;
  f.hooks = {"prestart",       "createRuntime", "createContainer",
             "startContainer", "poststart",     "poststop"};
  f.mount_options = strings(known_mount_options());
  oci::LinuxFeatures& l = f.linux_.emplace();
  l.namespaces = strings(namespace_names);
  std::sort(l.namespaces.begin(), l.namespaces.end());
  l.capabilities.assign(std::begin(capability_names), std::end(capability_names));
  // features-linux.md: what this program can do, whatever the host offers at the moment.
  l.cgroup = oci::CgroupFeatures{true, true, true, true, true};
  oci::SeccompFeatures& s = l.seccomp.emplace();
  s.enabled = true;
  s.actions = strings(seccomp_actions());
  s.operators = strings(seccomp_operators());
  s.archs = strings(seccomp_architectures());
  s.known_flags = strings(seccomp_known_flags());
  s.supported_flags = strings(seccomp_supported_flags());
  l.apparmor = l.selinux = oci::EnabledFeature{true};
  l.intel_rdt = oci::IntelRdtFeatures{true, true, true};
  l.memory_policy =
      oci::MemoryPolicyFeatures{names_of(memory_policy_modes), names_of(memory_policy_flags)};
  l.mount_extensions = oci::MountExtensions{oci::EnabledFeature{true}};
  l.net_devices = oci::EnabledFeature{true};
  f.annotations = {{"org.opencontainers.runc.checkpoint.enabled", "false"},
                   {"vessel.version", std::string(program_version)}};
  // Annotations that change what happens outside of the container, for callers that pass on those
  // of images.
  f.potentially_unsafe_config_annotations = {"org.systemd.property.", "run.oci."};
  return f;
}

std::string features_text(std::string_view program_version) {
  return oci::write(runtime_features(program_version), 4) + "\n";
}

}  // namespace vessel
