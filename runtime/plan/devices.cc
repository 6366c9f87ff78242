#include <algorithm>
#include <array>

#include "runtime/plan/default_devices.hh"
#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

// A bind mount on /dev is the caller's own set of devices, not ours to change.
bool dev_is_bound(const std::vector<MountStep>& mounts) {
  return std::any_of(mounts.begin(), mounts.end(), [](const MountStep& m) {
    return std::holds_alternative<BindMount>(m.what) && clean_absolute(m.destination) == "/dev";
  });
}

DeviceStep device_step(const oci::Device& device, size_t index, const PlanContext& context) {
  DeviceStep step;
  step.path = device.path;
  step.type = device.type == "b"   ? DeviceType::block
              : device.type == "p" ? DeviceType::fifo
                                   : DeviceType::character;  // c and u
  const auto number = [&](std::string_view member, int64_t value, int64_t last) {
    if (value < 0 || value > last)
      context.problems.config(
          at("linux.devices", index, member),
          "expected 0 to " + std::to_string(last) + ", got " + std::to_string(value));
    return static_cast<uint32_t>(value);
  };
  // The kernel's dev_t: 12 bits major, 20 bits minor.
  if (step.type != DeviceType::fifo) {
    step.major = number("major", device.major, 0xfff);
    step.minor = number("minor", device.minor, 0xfffff);
  }
  // Callers copy st_mode whole; the type is told by `type`.
  step.mode = device.file_mode.value_or(0666) & 07777;
  step.uid = device.uid.value_or(0);
  step.gid = device.gid.value_or(0);
  return step;
}

}  // namespace

void plan_devices(const PlanContext& context, const NamespacePlan& namespaces, RootfsPlan& rootfs) {
  const auto& wanted = context.linux_.devices;
  std::vector<DeviceStep> own;
  own.reserve(wanted.size() + default_devices.size());
  for (size_t i = 0; i < wanted.size(); ++i) own.push_back(device_step(wanted[i], i, context));
  if (dev_is_bound(rootfs.mounts)) {
    if (!own.empty())
      context.problems.warn("linux.devices", "left out, as a bind mount on /dev brings its own");
    return;
  }
  for (const DefaultDevice& d : default_devices) {
    const bool replaced = std::any_of(own.begin(), own.end(),
                                      [&](const DeviceStep& step) { return step.path == d.path; });
    if (replaced) continue;
    DeviceStep step;
    step.path = d.path;
    step.major = d.major;
    step.minor = d.minor;
    rootfs.devices.push_back(std::move(step));
  }
  std::move(own.begin(), own.end(), std::back_inserter(rootfs.devices));
  // mknod(2) of a device needs CAP_MKNOD in the first user namespace; a pipe needs nothing.
  const bool bind = namespaces.is_private(NamespaceKind::user) || context.facts.in_user_namespace ||
                    context.facts.euid != 0;
  for (DeviceStep& step : rootfs.devices) step.by_bind = bind && step.type != DeviceType::fifo;

  rootfs.symlinks = {
      {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
      {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
      {"/dev/core", "/proc/kcore"},       {"/dev/ptmx", "pts/ptmx"},
  };
}

}  // namespace vessel
