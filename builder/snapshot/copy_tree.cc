#include "builder/snapshot/copy_tree.hh"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "builder/layer/entry.hh"
#include "builder/layer/tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

void set_attributes(const struct stat& status, const Xattrs& xattrs, int to) {
  if (::fchown(to, status.st_uid, status.st_gid) != 0) throw SysError("change owner");
  for (const auto& [name, value] : xattrs)
    if (::fsetxattr(to, name.c_str(), value.data(), value.size(), 0) != 0)
      throw SysError("set xattr " + name);
  if (::fchmod(to, status.st_mode & 07777) != 0) throw SysError("change mode");
  const struct timespec times[2] = {status.st_mtim, status.st_mtim};
  if (::futimens(to, times) != 0) throw SysError("set time");
}

void copy_range(int from, int to, off_t at, off_t end) {
  char buffer[65536];
  bool by_kernel = true;
  while (at < end) {
    ssize_t got = -1;
    if (by_kernel) {
      off_t in = at, out = at;
      got = ::copy_file_range(from, &in, to, &out, static_cast<size_t>(end - at), 0);
      if (got < 0) by_kernel = false;
    }
    if (!by_kernel) {
      got = ::pread(from, buffer, sizeof buffer, at);
      if (got > 0 && ::pwrite(to, buffer, static_cast<size_t>(got), at) != got)
        throw SysError("write");
    }
    if (got < 0) throw SysError("read");
    if (got == 0) return;
    at += got;
  }
}

void copy_content(int from, int to, off_t size) {
  if (size == 0 || ::ioctl(to, FICLONE, from) == 0) return;
  if (::ftruncate(to, size) != 0) throw SysError("set size");
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return;  // a hole up to the end
    const off_t start = data < 0 ? at : data;
    const off_t hole = data < 0 ? -1 : ::lseek(from, start, SEEK_HOLE);
    const off_t end = hole < 0 ? size : hole;
    copy_range(from, to, start, end);
    at = end;
  }
}

void copy_file(int from, const struct stat& status, int to, const std::string& name) {
  const Fd target(
      ::openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!target) throw SysError("create");
  copy_content(from, target.get(), status.st_size);
  set_attributes(status, read_xattrs(from, XattrFilter::tree, nullptr), target.get());
}

class Copier {
 public:
  std::map<std::string, uint64_t> directories;

  void directory(int from, int to, const std::string& path) {
    for (const std::string& name : list_directory(from)) {
      try {
        entry(from, to, name, join_path(path, name));
      } catch (Error& error) {
        if (!error.message().starts_with('/')) error.prepend("/" + join_path(path, name));
        throw;
      }
    }
    copy_attributes(from, to);
    struct stat status {};
    if (::fstat(to, &status) != 0) throw SysError("stat");
    directories[path] = status.st_ino;
  }

 private:
  void entry(int from, int to, const std::string& name, const std::string& path) {
    struct stat status {};
    if (::fstatat(from, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) throw SysError("stat");
    constexpr int base = O_NOFOLLOW | O_CLOEXEC;
    if (S_ISSOCK(status.st_mode)) return;
    if (S_ISDIR(status.st_mode)) {
      const Fd source(::openat(from, name.c_str(), O_RDONLY | O_DIRECTORY | base));
      if (!source) throw SysError("open");
      if (::mkdirat(to, name.c_str(), 0700) != 0) throw SysError("make directory");
      const Fd target(::openat(to, name.c_str(), O_RDONLY | O_DIRECTORY | base));
      if (!target) throw SysError("open");
      directory(source.get(), target.get(), path);
    } else if (S_ISREG(status.st_mode)) {
      const Fd source(::openat(from, name.c_str(), O_RDONLY | base));
      if (!source) throw SysError("open");
      copy_file(source.get(), status, to, name);
    } else {
      other(from, to, name, status);
    }
  }

  static void other(int from, int to, const std::string& name, const struct stat& status) {
    const int made =
        S_ISLNK(status.st_mode)
            ? ::symlinkat(read_link_at(from, name).c_str(), to, name.c_str())
            : ::mknodat(to, name.c_str(), (status.st_mode & S_IFMT) | 0600, status.st_rdev);
    if (made != 0) throw SysError("create");
    if (::fchownat(to, name.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
      throw SysError("change owner");
    const std::string target = "/proc/self/fd/" + std::to_string(to) + "/" + name;
    for (const auto& [key, value] : read_xattrs_at(from, name, XattrFilter::tree, nullptr))
      if (::lsetxattr(target.c_str(), key.c_str(), value.data(), value.size(), 0) != 0)
        throw SysError("set xattr " + key);
    if (!S_ISLNK(status.st_mode) && ::fchmodat(to, name.c_str(), status.st_mode & 07777, 0) != 0)
      throw SysError("change mode");
    const struct timespec times[2] = {status.st_mtim, status.st_mtim};
    if (::utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw SysError("set time");
  }
};

}  // namespace

void copy_attributes(int from, int to) {
  struct stat status {};
  if (::fstat(from, &status) != 0) throw SysError("stat");
  set_attributes(status, read_xattrs(from, XattrFilter::tree, nullptr), to);
}

void break_hard_link(int directory, const std::string& name) {
  const Fd file(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {
  }, above{};
  if (!file || ::fstat(file.get(), &status) != 0 || ::fstat(directory, &above) != 0)
    throw SysError("open " + name);
  const std::string copy = ".kiln-" + random_name();
  copy_file(file.get(), status, directory, copy);
  if (::renameat(directory, copy.c_str(), directory, name.c_str()) != 0)
    throw SysError("replace " + name);
  const struct timespec times[2] = {above.st_atim, above.st_mtim};
  if (::futimens(directory, times) != 0) throw SysError("set time");
}

std::map<std::string, uint64_t> copy_tree(int from, int to) {
  Copier copier;
  copier.directory(from, to, "");
  return std::move(copier.directories);
}

}  // namespace kiln
