// Owns: reading bounded files, writing files that appear whole or not at all, removing trees;
// always relative to a directory descriptor. Does not own: looking paths up inside an untrusted
// root (resolve.hh).
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "builder/sys/fd.hh"

namespace kiln {

// AT_FDCWD or a directory. Throw SysError; `limit` is in bytes and exceeding it is an Error.
std::string read_file_at(int dir, const std::string& name, size_t limit);
std::optional<std::string> try_read_file_at(int dir, const std::string& name, size_t limit);
std::string read_fd(int fd, size_t limit, std::string_view name_for_errors);

// A regular file inside an untrusted root: links are followed inside the root only; anything that
// is not a regular file, or is larger than `limit`, is an Error; nullopt when it does not exist.
std::optional<std::string> read_file_in_root(int root, std::string_view path, size_t limit);

void write_all(int fd, std::span<const std::byte> data);
void write_all(int fd, std::string_view data);

enum class Sync : uint8_t { no, data };
// Temporary name in the same directory, written, synced if asked, renamed over `name`.
void write_file_atomic(int dir, const std::string& name, std::string_view content,
                       mode_t mode = 0644, Sync sync = Sync::no);

Fd open_dir_at(int dir, const std::string& name);                        // O_DIRECTORY|O_NOFOLLOW
void make_dir_at(int dir, const std::string& name, mode_t mode = 0755);  // existing is fine

// Removes a file or a whole tree without following links or crossing into what a link names.
// Missing is fine. Directories without write or search permission are opened up first.
void remove_tree_at(int dir, const std::string& name);
// The same until `stop` is true: false when that left something.
bool remove_tree_at(int dir, const std::string& name, const std::atomic<bool>& stop);

// 16 random hex digits, for temporary names.
std::string random_name();

}  // namespace kiln
