#include "builder/layer/tree.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <memory>

#include "builder/layer/apply.hh"
#include "builder/layer/recorded_owner.hh"
#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"

namespace kiln {

std::vector<std::string> list_directory(int directory) {
  const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) throw SysError("open directory");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy), ::closedir);
  if (!stream) {
    ::close(copy);
    throw SysError("read directory");
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) throw SysError("read directory");
  std::ranges::sort(names);
  return names;
}

std::string capability_revision_2(std::string_view value) {
  // struct vfs_ns_cap_data: magic_etc (little endian), two pairs of 32-bit sets, rootid.
  constexpr size_t revision_3_size = 24;
  if (value.size() != revision_3_size || value[3] != 3) return std::string(value);
  std::string out(value.substr(0, revision_3_size - 4));
  out[3] = 2;
  return out;
}

namespace {

// `list` and `get` are flistxattr or llistxattr and so on, bound to their object.
template <typename List, typename Get>
Xattrs collect(XattrFilter filter, std::map<std::string, uint64_t>* dropped, const List& list,
               const Get& get) {
  Xattrs out;
  char small[512];
  ssize_t size = list(small, sizeof small);
  if (size == 0 || (size < 0 && (errno == ENOTSUP || errno == EBADF || errno == ENOENT)))
    return out;
  std::string names;
  if (size >= 0) {
    names.assign(small, static_cast<size_t>(size));
  } else {
    if (errno != ERANGE) throw SysError("list xattrs");
    names.resize(XATTR_LIST_MAX);
    size = list(names.data(), names.size());
    if (size < 0) throw SysError("list xattrs");
    names.resize(static_cast<size_t>(size));
  }
  std::string value;
  for (size_t at = 0; at < names.size();) {
    const std::string name(names.c_str() + at);
    at += name.size() + 1;
    const bool kept = filter == XattrFilter::all || layer_keeps_xattr(name) ||
                      (filter == XattrFilter::tree && name == owner_xattr);
    if (!kept) {
      if (dropped != nullptr) ++(*dropped)[name];
      continue;
    }
    value.resize(XATTR_SIZE_MAX);
    const ssize_t got = get(name.c_str(), value.data(), value.size());
    if (got < 0) {
      if (errno == ENODATA) continue;
      throw SysError("read xattr " + name);
    }
    value.resize(static_cast<size_t>(got));
    out[name] = name == "security.capability" ? capability_revision_2(value) : value;
  }
  return out;
}

}  // namespace

Xattrs read_xattrs(int fd, XattrFilter filter, std::map<std::string, uint64_t>* dropped) {
  return collect(
      filter, dropped, [&](char* out, size_t size) { return ::flistxattr(fd, out, size); },
      [&](const char* name, void* out, size_t size) { return ::fgetxattr(fd, name, out, size); });
}

Xattrs read_xattrs_at(int directory, const std::string& name, XattrFilter filter,
                      std::map<std::string, uint64_t>* dropped) {
  // The kernel has no *at() form before 6.13. The descriptor is ours and the name is one component.
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  return collect(
      filter, dropped,
      [&](char* out, size_t size) { return ::llistxattr(path.c_str(), out, size); },
      [&](const char* key, void* out, size_t size) {
        return ::lgetxattr(path.c_str(), key, out, size);
      });
}

std::string read_link_at(int directory, const std::string& name) {
  std::string text(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(directory, name.c_str(), text.data(), text.size());
  if (size < 0) throw SysError("read link " + name);
  text.resize(static_cast<size_t>(size));
  return text;
}

bool same_content(int a, int b) {
  constexpr size_t piece = size_t{128} << 10;
  std::string one(piece, '\0'), two(piece, '\0');
  off_t at = 0;
  for (;;) {
    const ssize_t x = ::pread(a, one.data(), piece, at);
    const ssize_t y = ::pread(b, two.data(), piece, at);
    if (x < 0 || y < 0) throw SysError("compare files");
    if (x != y || std::memcmp(one.data(), two.data(), static_cast<size_t>(x)) != 0) return false;
    if (x == 0) return true;
    at += x;
  }
}

}  // namespace kiln
