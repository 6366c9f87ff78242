// Owns: taking a file's content out of a tree under all the names that it has there. Does not own:
// which file, or why.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace kiln {

// Which file, whatever it is called: stat(2)'s st_dev and st_ino.
using FileId = std::pair<uint64_t, uint64_t>;
// "DEV INO", in decimal; parse gives nullopt for anything else.
std::string file_id_text(const FileId& file);
std::optional<FileId> parse_file_id(std::string_view text);

// Overwrites and removes every name of the regular files `files` in the tree of `directory`, on its
// filesystem only, and not in what `skip` (if given) says of a path relative to it. Returns how
// many names there were. Throws Error on what cannot be read or removed.
size_t remove_files(int directory, const std::set<FileId>& files,
                    const std::function<bool(const std::string& path)>& skip = nullptr);

}  // namespace kiln
