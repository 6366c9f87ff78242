// Owns: finding and removing the host's full mounts of procfs and sysfs before --no-pivot.
// Does not own: the switch of the root itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vessel {

// The mount points of whole proc and sysfs file systems that `mountinfo` (proc(5)) lists outside
// `root`, in its order, octal escapes undone.
std::vector<std::string> full_host_views(std::string_view mountinfo, std::string_view root);

// Unmounts them in this mount namespace, or covers those that a user namespace has locked. Throws
// SysError.
void remove_host_views(std::string_view mountinfo, std::string_view root);

}  // namespace vessel
