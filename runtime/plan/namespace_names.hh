// Owns: the spec's names of the namespace kinds. Does not own: what is done with namespaces.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "runtime/plan/plan.hh"

namespace vessel {

// By NamespaceKind.
inline constexpr std::array<std::string_view, namespace_kind_count> namespace_names = {
    "user", "mount", "pid", "network", "ipc", "uts", "cgroup", "time"};

std::optional<NamespaceKind> namespace_kind(std::string_view type);
std::string_view namespace_name(NamespaceKind kind);

}  // namespace vessel
