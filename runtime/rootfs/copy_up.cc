#include "runtime/rootfs/copy_up.hh"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/sys/error.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

namespace {

constexpr int deepest = 256;  // directories; also bounds the descriptors held

// The names in a directory. opendir(3) would ask four more things of the kernel for each.
class Listing {
 public:
  explicit Listing(int directory) : directory_(directory), buffer_(new char[size]) {}
  // The next name but "." and "..", valid until the next call; nullptr at the end. Throws SysError.
  const char* next() {
    for (;;) {
      if (at_ == end_ && !fill()) return nullptr;
      const auto* entry = reinterpret_cast<const dirent64*>(buffer_.get() + at_);
      at_ += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") return entry->d_name;
    }
  }

 private:
  static constexpr size_t size = 2048;  // most have a few names; each page of it is one touched
  bool fill() {
    const ssize_t got = getdents64(directory_, buffer_.get(), size);
    if (got < 0) throw SysError("getdents64");
    at_ = 0;
    end_ = static_cast<size_t>(got);
    return got > 0;
  }

  const int directory_;
  const std::unique_ptr<char[]> buffer_;
  size_t at_ = 0, end_ = 0;
};

Fd open_listing(int directory) {
  Fd fd(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw SysError("open the directory below the tmpfs");
  return fd;
}

class Copier {
 public:
  explicit Copier(dev_t device) : device_(device) {}
  void copy_content(int from, int to, const std::string& path, int depth);

 private:
  static void copy_metadata(int from, int to, const struct stat& status, const std::string& path);
  void copy_entry(int from, int to, const char* name, const std::string& path, int depth);
  void copy_file(int from, int to, const char* name, const struct stat& status,
                 const std::string& path);
  static void copy_link(int from, int to, const char* name, const struct stat& status,
                        const std::string& path);
  bool link_to_earlier_copy(int to, const char* name, const struct stat& status);

  struct Copied {
    int directory;  // valid as long as the copy of that directory is being made
    std::string name;
  };
  const dev_t device_;
  std::map<ino_t, Copied> hard_linked_;
};

void copy_attributes(int from, int to, const std::string& path) {
  const ssize_t size = flistxattr(from, nullptr, 0);
  if (size <= 0) return;  // none, or a file system without
  std::vector<char> names(static_cast<size_t>(size));
  const ssize_t length = flistxattr(from, names.data(), names.size());
  for (ssize_t at = 0; at < length;) {
    const char* name = names.data() + at;
    at += static_cast<ssize_t>(std::string_view(name).size()) + 1;
    std::vector<char> value(XATTR_SIZE_MAX);
    const ssize_t got = fgetxattr(from, name, value.data(), value.size());
    if (got < 0) continue;
    // A tmpfs has no user attributes before 6.6, and a user namespace may not set trusted ones.
    if (fsetxattr(to, name, value.data(), static_cast<size_t>(got), 0) < 0 && errno != EOPNOTSUPP &&
        errno != EPERM)
      throw SysError("set the attribute " + std::string(name) + " of " + path);
  }
}

void Copier::copy_metadata(int from, int to, const struct stat& status, const std::string& path) {
  if (fchown(to, status.st_uid, status.st_gid) < 0) throw SysError("chown the copy of " + path);
  if (fchmod(to, status.st_mode & 07777) < 0) throw SysError("chmod the copy of " + path);
  copy_attributes(from, to, path);
  const timespec times[2] = {status.st_atim, status.st_mtim};
  if (futimens(to, times) < 0) throw SysError("set the times of the copy of " + path);
}

bool Copier::link_to_earlier_copy(int to, const char* name, const struct stat& status) {
  if (status.st_nlink < 2) return false;
  const auto [earlier, first] = hard_linked_.try_emplace(status.st_ino, Copied{to, name});
  return !first &&
         linkat(earlier->second.directory, earlier->second.name.c_str(), to, name, 0) == 0;
}

void Copier::copy_file(int from, int to, const char* name, const struct stat& status,
                       const std::string& path) {
  if (link_to_earlier_copy(to, name, status)) return;
  const Fd in(openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!in) throw SysError("open " + path);
  const Fd out(openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!out) throw SysError("make the copy of " + path);
  for (;;) {
    const ssize_t sent = sendfile(out.get(), in.get(), nullptr, size_t{1} << 24);
    if (sent < 0 && errno != EINTR) throw SysError("copy " + path);
    if (sent == 0) break;
  }
  copy_metadata(in.get(), out.get(), status, path);
}

void Copier::copy_link(int from, int to, const char* name, const struct stat& status,
                       const std::string& path) {
  char target[PATH_MAX];
  const ssize_t length = readlinkat(from, name, target, sizeof target - 1);
  if (length < 0) throw SysError("readlink " + path);
  target[length] = '\0';
  if (symlinkat(target, to, name) < 0 ||
      fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
    throw SysError("make the copy of " + path);
}

void Copier::copy_entry(int from, int to, const char* name, const std::string& path, int depth) {
  struct stat status {};
  if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno == ENOENT) return;
    throw SysError("stat " + path);
  }
  switch (status.st_mode & S_IFMT) {
    case S_IFDIR: {
      if (status.st_dev != device_) return;
      const Fd in(openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!in) throw SysError("open " + path);
      if (mkdirat(to, name, 0700) < 0) throw SysError("make the copy of " + path);
      const Fd out(openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!out) throw SysError("open the copy of " + path);
      copy_content(in.get(), out.get(), path, depth + 1);
      copy_metadata(in.get(), out.get(), status, path);
      break;
    }
    case S_IFREG:
      copy_file(from, to, name, status, path);
      break;
    case S_IFLNK:
      copy_link(from, to, name, status, path);
      break;
    case S_IFIFO:
    case S_IFCHR:
    case S_IFBLK:
      // A user namespace may not make device nodes: they are then left out.
      if (mknodat(to, name, status.st_mode, status.st_rdev) < 0) {
        if (errno == EPERM) return;
        throw SysError("make the copy of " + path);
      }
      if (fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        throw SysError("chown the copy of " + path);
      break;
    default:
      break;
  }
}

void Copier::copy_content(int from, int to, const std::string& path, int depth) {
  if (depth > deepest) throw Error(path + " is nested too deeply to be copied into a tmpfs");
  Listing listing(from);
  while (const char* name = listing.next()) copy_entry(from, to, name, path + "/" + name, depth);
  // Hard links across directories would need this descriptor later; they become copies.
  std::erase_if(hard_linked_, [&](const auto& copied) { return copied.second.directory == to; });
}

}  // namespace

void copy_up(int from, int to) {
  const Fd in = open_listing(from);
  struct stat status {};
  if (fstat(in.get(), &status) < 0) throw SysError("stat the directory below the tmpfs");
  Copier(status.st_dev).copy_content(in.get(), to, "", 0);
}

bool is_empty_directory(int directory) {
  const Fd in = open_listing(directory);
  return Listing(in.get()).next() == nullptr;
}

}  // namespace vessel
