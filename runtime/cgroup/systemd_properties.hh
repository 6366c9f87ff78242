// Owns: linux.resources as systemd unit properties, names of slices and of annotation properties.
// Does not own: the calls that set them (systemd_unit.hh). Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oci-spec/runtime_config.hh"
#include "runtime/cgroup/dbus_message.hh"

namespace vessel {

struct SystemdVersion {
  bool v2 = true;    // property names of the unified hierarchy
  int number = 252;  // 0: too old or unknown, nothing newer than 244 is used
};

using Properties = std::vector<std::pair<std::string, DbusValue>>;

// What systemd has a property for; the rest is written to the cgroup's files only. Warnings are
// appended. Throws Error with the JSON path.
Properties resource_properties(const oci::Resources& resources, const SystemdVersion& systemd,
                               std::vector<std::string>& warnings);
// DevicePolicy and DeviceAllow. systemd has no deny rules: such lists are left to the device
// program alone, under a policy that denies nothing that they allow.
Properties device_properties(const oci::Resources& resources);
// Needs the version: cpu.idle (252) and memory.oom.group (253).
bool depends_on_version(const oci::Resources& resources);

// systemd keeps the quota in whole percents of a CPU and would write the rounded value back at its
// next reload: so that one is written to the file as well.
oci::Resources rounded_for_systemd(oci::Resources resources);

// "a-b.slice" -> "/a.slice/a-b.slice"; "-.slice" -> "". Throws Error.
std::string expand_slice(std::string_view slice);
// "0-2,8" -> bit mask, least significant byte first. Throws Error.
std::vector<uint8_t> cpuset_bits(std::string_view list);
// org.systemd.property.NAME annotations: GVariant text; NAMESec (seconds) becomes NAMEUSec.
Properties annotation_properties(const std::map<std::string, std::string>& annotations);

// As "a(sv)".
DbusValue property_list(const Properties& properties);

}  // namespace vessel
