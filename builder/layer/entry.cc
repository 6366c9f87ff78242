#include "builder/layer/entry.hh"

#include <sys/sysmacros.h>

namespace kiln {

std::string_view parent_path(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string join_path(std::string_view directory, std::string_view name) {
  std::string out(directory);
  if (!out.empty() && !name.empty()) out += '/';
  out += name;
  return out;
}

bool entry_from_stat(const struct stat& status, Entry& entry) {
  switch (status.st_mode & S_IFMT) {
    case S_IFREG:
      entry.type = FileType::file;
      entry.size = static_cast<uint64_t>(status.st_size);
      break;
    case S_IFDIR:
      entry.type = FileType::directory;
      break;
    case S_IFLNK:
      entry.type = FileType::symlink;
      break;
    case S_IFCHR:
      entry.type = FileType::char_device;
      break;
    case S_IFBLK:
      entry.type = FileType::block_device;
      break;
    case S_IFIFO:
      entry.type = FileType::fifo;
      break;
    default:
      return false;
  }
  entry.mode = status.st_mode & 07777;
  entry.uid = status.st_uid;
  entry.gid = status.st_gid;
  entry.mtime = status.st_mtim.tv_sec;
  entry.mtime_nsec = static_cast<uint32_t>(status.st_mtim.tv_nsec);
  if (entry.type == FileType::char_device || entry.type == FileType::block_device) {
    entry.dev_major = major(status.st_rdev);
    entry.dev_minor = minor(status.st_rdev);
  }
  return true;
}

bool metadata_differs(const Entry& a, const Entry& b) {
  return a.type != b.type || a.mode != b.mode || a.uid != b.uid || a.gid != b.gid ||
         a.mtime != b.mtime || a.size != b.size || a.dev_major != b.dev_major ||
         a.dev_minor != b.dev_minor || a.link != b.link || a.xattrs != b.xattrs;
}

}  // namespace kiln
