#include <array>

#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

bool is_number(std::string_view s) {
  return !s.empty() && s.find_first_not_of("0123456789") == s.npos &&
         (s.size() == 1 || s[0] != '0');
}

// semver.org 2.0.0: three numbers, then "-pre" and "+build" of dotted identifiers.
bool is_semver(std::string_view s) {
  const auto identifiers = [](std::string_view list) {
    for (char c : list)
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            c == '-' || c == '.'))
        return false;
    return !list.empty() && list.front() != '.' && list.back() != '.' &&
           list.find("..") == list.npos;
  };
  if (const size_t plus = s.find('+'); plus != s.npos) {
    if (!identifiers(s.substr(plus + 1))) return false;
    s = s.substr(0, plus);
  }
  if (const size_t dash = s.find('-'); dash != s.npos) {
    if (!identifiers(s.substr(dash + 1))) return false;
    s = s.substr(0, dash);
  }
  const size_t first = s.find('.');
  const size_t second = first == s.npos ? s.npos : s.find('.', first + 1);
  return second != s.npos && is_number(s.substr(0, first)) &&
         is_number(s.substr(first + 1, second - first - 1)) && is_number(s.substr(second + 1));
}

void check_version(const PlanContext& context) {
  const std::string& version = context.config.version;
  if (!is_semver(version))
    context.problems.config("ociVersion",
                            "expected a version such as 1.3.0, got \"" + version + "\"");
  else if (!version.starts_with("0.") && !version.starts_with("1."))
    context.problems.config("ociVersion", "version " + version + " is not supported, expected 1.x");
}

void check_names(const PlanContext& context, const NamespacePlan& namespaces) {
  const auto check = [&](std::string_view field, const std::string& name) {
    if (name.empty()) return;
    if (!namespaces.is_private(NamespaceKind::uts))
      context.problems.config(std::string(field), "needs a uts namespace in linux.namespaces");
    // linux/utsname.h: __NEW_UTS_LEN
    if (name.size() > 64) context.problems.config(std::string(field), "is longer than 64 bytes");
  };
  check("hostname", context.config.hostname);
  check("domainname", context.config.domainname);
}

// net/core/dev.c dev_valid_name(); a name inside may end in %d, which the kernel replaces.
bool is_interface_name(std::string_view name) {
  return !name.empty() && name.size() < 16 && name != "." && name != ".." &&
         name.find_first_of("/: \t\n\v\f\r") == name.npos;
}

void check_net_devices(const PlanContext& context, const NamespacePlan& namespaces) {
  const auto& devices = context.linux_.net_devices;
  if (devices.empty()) return;
  if (!namespaces.is_private(NamespaceKind::network))
    context.problems.config("linux.netDevices", "needs a network namespace in linux.namespaces");
  if (context.rootless)
    context.problems.host("linux.netDevices", "moving network devices needs privileges");
  for (const auto& [name, device] : devices) {
    if (!is_interface_name(name))
      context.problems.config("linux.netDevices[\"" + name + "\"]", "is no name of an interface");
    if (!device.name.empty() && !is_interface_name(device.name))
      context.problems.config("linux.netDevices[\"" + name + "\"].name",
                              "is no name of an interface");
  }
}

}  // namespace

void check_config(const PlanContext& context, const NamespacePlan& namespaces) {
  check_version(context);
  check_names(context, namespaces);
  check_net_devices(context, namespaces);
  if (context.config.annotations.contains(""))
    context.problems.config("annotations", "a key must not be empty");
  if (context.linux_.seccomp && !context.facts.kernel_at_least(5, 19) &&
      context.linux_.seccomp->flags) {
    const auto& flags = *context.linux_.seccomp->flags;
    for (size_t i = 0; i < flags.size(); ++i)
      if (flags[i] == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
        context.problems.host(at("linux.seccomp.flags", i), flags[i] + " needs Linux 5.19");
  }
}

}  // namespace vessel
