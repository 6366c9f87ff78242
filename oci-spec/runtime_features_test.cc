#include "oci-spec/runtime_features.hh"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "oci-spec/format_error.hh"

TEST_CASE("features: every property survives reading and writing") {
  constexpr const char* text = R"({
    "ociVersionMin": "1.0.0", "ociVersionMax": "1.3.0", "hooks": ["prestart"],
    "mountOptions": ["ro"], "annotations": {"a": "b"},
    "potentiallyUnsafeConfigAnnotations": ["x."],
    "linux": {"namespaces": ["pid"], "capabilities": ["CAP_KILL"],
      "cgroup": {"v1": true, "v2": false, "systemd": true, "systemdUser": true, "rdma": false},
      "seccomp": {"enabled": true, "actions": ["SCMP_ACT_ALLOW"], "operators": ["SCMP_CMP_EQ"],
        "archs": ["SCMP_ARCH_X86"], "knownFlags": ["A"], "supportedFlags": ["B"]},
      "apparmor": {"enabled": false}, "selinux": {"enabled": true},
      "intelRdt": {"enabled": true, "schemata": true, "monitoring": false},
      "memoryPolicy": {"modes": ["MPOL_BIND"], "flags": ["F"]},
      "mountExtensions": {"idmap": {"enabled": true}}, "netDevices": {"enabled": true}}})";
  const oci::Features features = oci::read_features(text, "f");
  CHECK(nlohmann::json::parse(oci::write(features)) == nlohmann::json::parse(text));
  CHECK_THROWS_AS(oci::read_features(R"({"ociVersionMin": "1.0.0"})", "f"), oci::FormatError);
}
