#include "runtime/rootfs/host_views.hh"

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>

#include "runtime/sys/error.hh"
#include "runtime/sys/mountinfo.hh"

namespace vessel {

namespace {

bool lies_in(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

}  // namespace

std::vector<std::string> full_host_views(std::string_view mountinfo, std::string_view root) {
  std::vector<std::string> found;
  while (!mountinfo.empty()) {
    const size_t end = std::min(mountinfo.find('\n'), mountinfo.size());
    const std::vector<std::string_view> fields = mountinfo_fields(mountinfo.substr(0, end));
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
    // id parent major:minor root mount-point options [tags…] - type source options
    const auto separator = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 6 || separator == fields.end() || separator + 1 == fields.end()) continue;
    const std::string_view type = separator[1];
    const std::string mount_point = unescape_mountinfo(fields[4]);
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
