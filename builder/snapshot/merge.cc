#include "builder/snapshot/merge.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "builder/layer/entry.hh"
#include "builder/layer/tree.hh"
#include "builder/snapshot/copy_tree.hh"
#include "builder/snapshot/overlay_mount.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

const char* opaque_mark() {
  return in_first_user_namespace() ? "trusted.overlay.opaque" : "user.overlay.opaque";
}

bool is_opaque(int fd) {
  char value = 0;
  return ::fgetxattr(fd, opaque_mark(), &value, 1) == 1 && value == 'y';
}

void lay_over(int from, int to);

void lay_directory(int from, int to, const std::string& name, bool exists, bool was_directory) {
  const Fd source = open_dir_at(from, name);
  const bool opaque = is_opaque(source.get());
  if (exists && (opaque || !was_directory)) remove_tree_at(to, name);
  const bool fresh = !exists || opaque || !was_directory;
  if (fresh && ::mkdirat(to, name.c_str(), 0700) != 0) throw SysError("make directory " + name);
  const Fd target = open_dir_at(to, name);
  // What stood here hid everything below it; the directory in its place must do so too.
  const bool hides = opaque || (exists && !was_directory);
  if (hides && ::fsetxattr(target.get(), opaque_mark(), "y", 1, 0) != 0)
    throw SysError("mark " + name + " opaque");
  lay_over(source.get(), target.get());
}

void lay_over(int from, int to) {
  for (const std::string& name : list_directory(from)) {
    struct stat above {
    }, below{};
    if (::fstatat(from, name.c_str(), &above, AT_SYMLINK_NOFOLLOW) != 0)
      throw SysError("stat " + name);
    const bool exists = ::fstatat(to, name.c_str(), &below, AT_SYMLINK_NOFOLLOW) == 0;
    if (S_ISDIR(above.st_mode)) {
      lay_directory(from, to, name, exists, exists && S_ISDIR(below.st_mode));
      continue;
    }
    if (exists) remove_tree_at(to, name);
    // Lowers are never written to, so that one inode can stand in both.
    if (::linkat(from, name.c_str(), to, name.c_str(), 0) != 0) throw SysError("link " + name);
  }
  for (const auto& [name, value] : read_xattrs(to, XattrFilter::tree, nullptr))
    if (::fremovexattr(to, name.c_str()) != 0) throw SysError("remove xattr " + name);
  copy_attributes(from, to);
}

}  // namespace

void merge_lowers(int trees, const std::vector<std::string>& names, int to) {
  for (auto name = names.rbegin(); name != names.rend(); ++name)
    lay_over(open_dir_at(trees, *name).get(), to);
}

}  // namespace kiln
