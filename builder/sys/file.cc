#include "builder/sys/file.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "builder/sys/error.hh"
#include "builder/sys/resolve.hh"

namespace kiln {

std::string read_fd(int fd, size_t limit, std::string_view name) {
  std::string out;
  char buffer[65536];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SysError("read " + std::string(name));
    if (got == 0) return out;
    if (static_cast<size_t>(got) > limit - out.size())
      throw Error(std::string(name) + " is larger than " + std::to_string(limit) + " bytes");
    out.append(buffer, static_cast<size_t>(got));
  }
}

std::optional<std::string> try_read_file_at(int dir, const std::string& name, size_t limit) {
  const Fd fd(::openat(dir, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) {
    if (errno == ENOENT) return std::nullopt;
    throw SysError("open " + name);
  }
  return read_fd(fd.get(), limit, name);
}

std::string read_file_at(int dir, const std::string& name, size_t limit) {
  auto text = try_read_file_at(dir, name, limit);
  if (!text) throw SysError("open " + name, ENOENT);
  return std::move(*text);
}

std::optional<std::string> read_file_in_root(int root, std::string_view path, size_t limit) {
  // O_NONBLOCK: a fifo in an image must not stop us; it is refused below.
  auto fd = try_open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd && fd.error() == ENOENT) return std::nullopt;
  if (!fd) throw SysError("open " + std::string(path) + " in root", fd.error());
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0) throw SysError("stat " + std::string(path));
  if (!S_ISREG(status.st_mode)) throw Error(std::string(path) + " is not a regular file");
  return read_fd(fd->get(), limit, path);
}

void write_all(int fd, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t put = ::write(fd, data.data(), data.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw SysError("write");
    data = data.subspan(static_cast<size_t>(put));
  }
}

void write_all(int fd, std::string_view data) {
  write_all(fd, std::as_bytes(std::span(data.data(), data.size())));
}

void write_file_atomic(int dir, const std::string& name, std::string_view content, mode_t mode,
                       Sync sync) {
  // `name` may be a path (of a command line): the temporary name lies beside it.
  const size_t base = name.rfind('/') + 1;  // 0 without a slash
  const std::string temporary =
      name.substr(0, base) + "." + name.substr(base) + "." + random_name();
  Fd fd(::openat(dir, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) throw SysError("create " + temporary);
  try {
    write_all(fd.get(), content);
    if (sync == Sync::data && ::fdatasync(fd.get()) != 0) throw SysError("sync " + name);
    fd.reset();
    if (::renameat(dir, temporary.c_str(), dir, name.c_str()) != 0)
      throw SysError("rename to " + name);
  } catch (...) {
    ::unlinkat(dir, temporary.c_str(), 0);
    throw;
  }
}

Fd open_dir_at(int dir, const std::string& name) {
  Fd fd(::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) throw SysError("open directory " + name);
  return fd;
}

void make_dir_at(int dir, const std::string& name, mode_t mode) {
  if (::mkdirat(dir, name.c_str(), mode) != 0 && errno != EEXIST)
    throw SysError("make directory " + name);
}

std::string random_name() {
  uint64_t value = 0;
  if (::getrandom(&value, sizeof value, 0) != sizeof value) throw SysError("getrandom");
  std::string out;
  for (int i = 0; i < 16; ++i, value >>= 4) out += "0123456789abcdef"[value & 15];
  return out;
}

namespace {

// Trees made by others can be deeper than the descriptors we may hold: below this depth a
// directory is first moved up to the top and then removed from there.
constexpr int max_depth = 128;

struct Removal {
  int top;                         // the directory that holds the tree's name
  std::vector<std::string> moved;  // names in `top` still to be removed
  const std::atomic<bool>* stop = nullptr;
};

struct Stopped {};

Fd open_for_removal(int dir, const char* name) {
  const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  Fd fd(::openat(dir, name, flags));
  if (fd || errno != EACCES) return fd;
  if (::fchmodat(dir, name, 0700, 0) != 0) return fd;
  return Fd(::openat(dir, name, flags));
}

void remove_entry(Removal& removal, int dir, const char* name, bool maybe_directory, int depth);

void empty_directory(Removal& removal, Fd fd, int depth) {
  const int number = fd.get();
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(number), ::closedir);
  if (!stream) throw SysError("read directory");
  fd.release();
  while (const dirent* entry = ::readdir(stream.get())) {
    if (removal.stop != nullptr && *removal.stop) throw Stopped();
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    const bool maybe = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
    remove_entry(removal, number, entry->d_name, maybe, depth + 1);
  }
}

void remove_entry(Removal& removal, int dir, const char* name, bool maybe_directory, int depth) {
  int error = EISDIR;
  if (!maybe_directory) {
    if (::unlinkat(dir, name, 0) == 0 || errno == ENOENT) return;
    error = errno;
    if (error == EACCES && ::fchmod(dir, 0700) == 0) {
      if (::unlinkat(dir, name, 0) == 0) return;
      error = errno;
    }
  }
  if (error != EISDIR && error != EPERM) throw SysError("remove " + std::string(name), error);
  if (depth > max_depth) {
    const std::string fresh = ".deep-" + random_name();
    if (::renameat(dir, name, removal.top, fresh.c_str()) == 0) {
      removal.moved.push_back(fresh);
      return;
    }
  }
  Fd fd = open_for_removal(dir, name);
  if (!fd) {
    if (errno == ENOENT) return;
    if ((errno == ENOTDIR || errno == ELOOP) && ::unlinkat(dir, name, 0) == 0) return;
    throw SysError("open " + std::string(name) + " for removal");
  }
  empty_directory(removal, std::move(fd), depth);
  if (::unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return;
  if (errno == EACCES && ::fchmod(dir, 0700) == 0 && ::unlinkat(dir, name, AT_REMOVEDIR) == 0)
    return;
  throw SysError("remove directory " + std::string(name));
}

}  // namespace

namespace {

void remove_tree(int dir, const std::string& name, const std::atomic<bool>* stop) {
  struct stat status {};
  if (::fstatat(dir, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return;
    throw SysError("stat " + name);
  }
  Removal removal{dir, {}, stop};
  remove_entry(removal, dir, name.c_str(), S_ISDIR(status.st_mode), 0);
  while (!removal.moved.empty()) {
    const std::string next = std::move(removal.moved.back());
    removal.moved.pop_back();
    remove_entry(removal, dir, next.c_str(), true, 0);
  }
}

}  // namespace

void remove_tree_at(int dir, const std::string& name) {
  remove_tree(dir, name, nullptr);
}

bool remove_tree_at(int dir, const std::string& name, const std::atomic<bool>& stop) {
  try {
    remove_tree(dir, name, &stop);
    return true;
  } catch (const Stopped&) {
    return false;
  }
}

}  // namespace kiln
