// Owns: one entry of a layer, as plain data, with the names of whiteouts (image-spec, layer.md).
// Does not own: its bytes on disk or in a tar.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace kiln {

enum class FileType : uint8_t {
  file,
  directory,
  symlink,
  hardlink,  // `link` is the path, in the same layer, whose content it shares
  char_device,
  block_device,
  fifo,
  whiteout,  // `path` is what is deleted, without the .wh. prefix
  opaque,    // `path` is the directory whose lower children are hidden; read, never written
};

using Xattrs = std::map<std::string, std::string>;

struct Entry {
  std::string
      path;  // relative to the root: no leading or trailing slash, no "." or ".."; "" is the root
  FileType type = FileType::file;
  uint32_t mode = 0;  // the twelve permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime = 0;        // seconds since the epoch, may be negative
  uint32_t mtime_nsec = 0;  // kept when a layer is applied, never written
  uint64_t size = 0;        // of a file's content, else 0
  uint32_t dev_major = 0;
  uint32_t dev_minor = 0;
  std::string link;  // symlink target verbatim, or hard link path
  Xattrs xattrs;

  bool operator==(const Entry&) const = default;
};

inline constexpr std::string_view whiteout_prefix = ".wh.";
inline constexpr std::string_view opaque_name = ".wh..wh..opq";

// The part before the last slash ("" at the top) and the part after it.
std::string_view parent_path(std::string_view path);
std::string_view base_name(std::string_view path);
std::string join_path(std::string_view directory, std::string_view name);

// Everything of `status` that an Entry holds (type, mode, owner, time, size, device number); path,
// link and xattrs stay empty. False for sockets, which a layer cannot hold.
bool entry_from_stat(const struct stat& status, Entry& entry);

// The rule of what is a change: true when type, mode, owner, device, link, xattrs, size or mtime
// (whole seconds) differ. Content of equal size is the caller's to compare. Directories have no
// size; a hard link is compared as the file it names.
bool metadata_differs(const Entry& a, const Entry& b);

}  // namespace kiln
