// Owns: the form of /proc/PID/mountinfo (proc(5)). Does not own: reading it, which costs 1.5 ms on
// a host with many mounts, nor what is looked for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vessel {

// The fields of one line; 0 is the mount's id, 3 the root in its file system, 4 the mount point.
std::vector<std::string_view> mountinfo_fields(std::string_view line);

// Space, tab, newline and backslash appear as \ooo.
std::string unescape_mountinfo(std::string_view field);

}  // namespace vessel
