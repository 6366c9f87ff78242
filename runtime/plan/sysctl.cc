#include <algorithm>
#include <array>

#include "runtime/plan/rooms.hh"

namespace vessel {

namespace {

// sysctl.d(5): with a dot as first separator, dots separate and slashes stand for dots in names
// ("net.ipv4.conf.eno2/100.rp_filter"); else the other way round. The result is a path.
std::string to_path(std::string_view key) {
  std::string path(key);
  const size_t first = key.find_first_of("./");
  if (first == key.npos || key[first] == '/') return path;
  for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  return path;
}

bool is_plain(std::string_view path) {
  for (;;) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == path.npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_ipc(std::string_view path) {
  static constexpr std::array<std::string_view, 8> names = {
      "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
      "kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced"};
  return std::find(names.begin(), names.end(), path) != names.end() ||
         path.starts_with("fs/mqueue/");
}

}  // namespace

// /proc/sys is namespaced only in parts: what is outside of the container's own namespaces would
// change the host, or another container.
std::map<std::string, std::string> plan_sysctl(const PlanContext& context,
                                               const NamespacePlan& namespaces) {
  std::map<std::string, std::string> result;
  for (const auto& [key, value] : context.linux_.sysctl) {
    std::string path = to_path(key);
    const auto refuse = [&](std::string message) {
      context.problems.config("linux.sysctl[\"" + key + "\"]", std::move(message));
    };
    const auto needs = [&](NamespaceKind kind, std::string_view name) {
      if (!namespaces.is_private(kind))
        refuse("needs the container's own " + std::string(name) + " namespace");
    };
    if (!is_plain(path))
      refuse("expected a name such as net.ipv4.ip_forward");
    else if (is_ipc(path))
      needs(NamespaceKind::ipc, "ipc");
    else if (path.starts_with("net/"))
      needs(NamespaceKind::network, "network");
    else if (path == "kernel/domainname")
      needs(NamespaceKind::uts, "uts");
    else if (path == "kernel/hostname")
      refuse("is set by the field hostname");
    else if (path.starts_with("user/"))
      needs(NamespaceKind::user, "user");
    else
      refuse("is not in a namespace and would change the host");
    if (!result.emplace(std::move(path), value).second) refuse("is there twice");
  }
  return result;
}

}  // namespace vessel
