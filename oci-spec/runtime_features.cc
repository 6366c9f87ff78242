#include "oci-spec/runtime_features.hh"

#include "oci-spec/runtime_visitors.hh"

namespace oci {

template <class V>
void describe(V& v, Described<V, CgroupFeatures>& f) {
  v.field("v1", f.v1);
  v.field("v2", f.v2);
  v.field("systemd", f.systemd);
  v.field("systemdUser", f.systemd_user);
  v.field("rdma", f.rdma);
}

template <class V>
void describe(V& v, Described<V, SeccompFeatures>& f) {
  v.field("enabled", f.enabled);
  v.field("actions", f.actions);
  v.field("operators", f.operators);
  v.field("archs", f.archs);
  v.field("knownFlags", f.known_flags);
  v.field("supportedFlags", f.supported_flags);
}

template <class V>
void describe(V& v, Described<V, EnabledFeature>& f) {
  v.field("enabled", f.enabled);
}

template <class V>
void describe(V& v, Described<V, IntelRdtFeatures>& f) {
  v.field("enabled", f.enabled);
  v.field("schemata", f.schemata);
  v.field("monitoring", f.monitoring);
}

template <class V>
void describe(V& v, Described<V, MemoryPolicyFeatures>& f) {
  v.field("modes", f.modes);
  v.field("flags", f.flags);
}

template <class V>
void describe(V& v, Described<V, MountExtensions>& f) {
  v.field("idmap", f.idmap);
}

template <class V>
void describe(V& v, Described<V, LinuxFeatures>& f) {
  v.field("namespaces", f.namespaces);
  v.field("capabilities", f.capabilities);
  v.field("cgroup", f.cgroup);
  v.field("seccomp", f.seccomp);
  v.field("apparmor", f.apparmor);
  v.field("selinux", f.selinux);
  v.field("intelRdt", f.intel_rdt);
  v.field("memoryPolicy", f.memory_policy);
  v.field("mountExtensions", f.mount_extensions);
  v.field("netDevices", f.net_devices);
}

template <class V>
void describe(V& v, Described<V, Features>& f) {
  v.required("ociVersionMin", f.version_min);
  v.required("ociVersionMax", f.version_max);
  v.field("hooks", f.hooks);
  v.field("mountOptions", f.mount_options);
  v.field("linux", f.linux_);
  v.field("annotations", f.annotations);
  v.field("potentiallyUnsafeConfigAnnotations", f.potentially_unsafe_config_annotations);
}

Features read_features(std::string_view json, std::string_view file) {
  return JsonReader::read_document<Features>(json, file);
}

std::string write(const Features& features, int indent) {
  return JsonWriter::write_document(features, indent);
}

}  // namespace oci
