#include "runtime/rootfs/host_views.hh"

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

// proc(5): space, tab, newline and backslash appear as \ooo.
std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto octal = [&](size_t at) { return text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (!line.empty()) {
    const size_t space = std::min(line.find(' '), line.size());
    fields.push_back(line.substr(0, space));
    line.remove_prefix(std::min(space + 1, line.size()));
  }
  return fields;
}

bool lies_in(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

}  // namespace

std::vector<std::string> full_host_views(std::string_view mountinfo, std::string_view root) {
  std::vector<std::string> found;
  while (!mountinfo.empty()) {
    const size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
    const std::vector<std::string_view> fields = fields_of(mountinfo.substr(0, end));
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
    // id parent major:minor root mount-point options [tags…] - type source options
    const auto separator = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 6 || separator == fields.end() || separator + 1 == fields.end()) continue;
    const std::string_view type = separator[1];
    const std::string mount_point = unescape(fields[4]);
    if ((type == "proc" || type == "sysfs") && fields[3] == "/" && !lies_in(mount_point, root))
      found.push_back(mount_point);
  }
  return found;
}

void remove_host_views(std::string_view mountinfo, std::string_view root) {
  for (const std::string& path : full_host_views(mountinfo, root)) {
    // The removal must not travel to the host.
    if (mount(nullptr, path.c_str(), nullptr, MS_SLAVE | MS_REC, nullptr) < 0) {
      if (errno == ENOENT || errno == EINVAL) continue;  // went away with one above it
      throw SysError("make " + path + " slave");
    }
    if (umount2(path.c_str(), MNT_DETACH) == 0) continue;
    if (errno != EINVAL && errno != EPERM) throw SysError("umount " + path);
    if (mount("tmpfs", path.c_str(), "tmpfs", 0, nullptr) < 0) throw SysError("cover " + path);
  }
}

}  // namespace vessel
