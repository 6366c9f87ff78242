// Owns: reading and writing whole files by descriptor, and replacing one atomically.
// Does not own: resolving paths inside a container's root (resolve.hh), or what is in the files.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "runtime/sys/fd.hh"

namespace vessel {

inline constexpr size_t default_read_limit = size_t{16} * 1024 * 1024;

// openat(2) with O_CLOEXEC added, retried on EINTR. The first throws SysError "open PATH".
Fd open_file(int dir, const std::string& path, int flags, mode_t mode = 0);
Fd try_open_file(int dir, const std::string& path, int flags, mode_t mode = 0);  // errno on empty

// The content from the current position to the end. Throws SysError, or Error when it is longer
// than `limit` bytes. `name` is for messages.
std::string read_all(const Fd& fd, std::string_view name, size_t limit = default_read_limit);
std::string read_file(int dir, const std::string& path, size_t limit = default_read_limit);
std::string read_file(const std::string& path, size_t limit = default_read_limit);
// nullopt when it does not exist (ENOENT, ENOTDIR).
std::optional<std::string> try_read_file(int dir, const std::string& path,
                                         size_t limit = default_read_limit);

// Writes everything, retrying short writes and EINTR. Throws SysError "write NAME".
void write_all(int fd, std::string_view content, std::string_view name);
// One write(2) to an existing file, as procfs, sysfs and cgroupfs want it.
void write_existing(int dir, const std::string& path, std::string_view content);

// Writes to a temporary name beside `name` and renames it over: after a crash there is the old
// content or the new. `name` has no slash. Throws SysError.
void replace_file(int dir, const std::string& name, std::string_view content, mode_t mode);

// The same for a path that a caller chose (--pid-file): its directory is opened first.
void replace_file(const std::string& path, std::string_view content, mode_t mode);

// The path as an absolute one, "." and ".." kept, from the current directory.
std::string absolute_path(std::string_view path);

}  // namespace vessel
