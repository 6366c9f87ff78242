// Owns: reading, writing and listing the files of cgroup directories.
// Does not own: what is written, nor which directory belongs to whom.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/sys/fd.hh"

namespace vessel {

// Directories here are absolute paths on the host below a cgroup mount. cgroupfs knows no symbolic
// links and no process can rename a v2 directory, so a path string is as good as a descriptor.

// Expected failures come back as errno. A value is written with one write(2), as the kernel wants.
std::expected<std::string, int> try_read_cgroup(std::string_view dir, std::string_view file);
int try_write_cgroup(std::string_view dir, std::string_view file, std::string_view value);

// The throwing forms: SysError "write 42 to DIR/memory.max: …", "read DIR/memory.max: …".
std::string read_cgroup(std::string_view dir, std::string_view file);
void write_cgroup(std::string_view dir, std::string_view file, std::string_view value);

// O_CLOEXEC and `flags`; an empty Fd and errno when it cannot be opened.
Fd try_open_cgroup(std::string_view dir, std::string_view file, int flags);

// Names of the directories below `dir` (one level); empty when it is gone.
std::vector<std::string> child_cgroups(std::string_view dir);

// Strictly parsed decimal; "max" is UINT64_MAX. nullopt for anything else.
std::optional<uint64_t> parse_counter(std::string_view text);
// "key value" lines (memory.stat, cpu.stat, memory.events); lines of another shape are left out.
std::map<std::string, uint64_t> parse_keyed(std::string_view text);
std::optional<uint64_t> keyed_value(std::string_view text, std::string_view key);
// Parts between any of `separators`, empty ones left out.
std::vector<std::string_view> split(std::string_view text, std::string_view separators);
std::string_view trim(std::string_view text);

}  // namespace vessel
