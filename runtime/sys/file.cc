#include "runtime/sys/file.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <climits>

#include "runtime/sys/error.hh"

namespace vessel {

Fd try_open_file(int dir, const std::string& path, int flags, mode_t mode) {
  int fd;
  do fd = ::openat(dir, path.c_str(), flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  return Fd(fd);
}

Fd open_file(int dir, const std::string& path, int flags, mode_t mode) {
  Fd fd = try_open_file(dir, path, flags, mode);
  if (!fd) throw SysError("open " + path);
  return fd;
}

std::string read_all(const Fd& fd, std::string_view name, size_t limit) {
  std::string content;
  size_t used = 0;
  // The size is a hint only: procfs and sysfs say 0.
  struct stat st {};
  size_t room = 4096;
  bool sized = false;  // then a short read is the end
  if (::fstat(fd.get(), &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
    room = static_cast<size_t>(st.st_size) + 1;
    sized = true;
  }
  if (room > limit + 1) room = limit + 1;
  for (;;) {
    content.resize(used + room);
    ssize_t got = ::read(fd.get(), content.data() + used, room);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw SysError("read " + std::string(name));
    }
    used += static_cast<size_t>(got);
    if (used > limit)
      throw Error("read " + std::string(name) + ": longer than " + std::to_string(limit) +
                  " bytes");
    if (got == 0 || (sized && static_cast<size_t>(got) < room)) break;
    room = std::max<size_t>(content.size() - used, 4096);
  }
  content.resize(used);
  return content;
}

std::string read_file(int dir, const std::string& path, size_t limit) {
  return read_all(open_file(dir, path, O_RDONLY), path, limit);
}

std::string read_file(const std::string& path, size_t limit) {
  return read_file(AT_FDCWD, path, limit);
}

std::optional<std::string> try_read_file(int dir, const std::string& path, size_t limit) {
  Fd fd = try_open_file(dir, path, O_RDONLY);
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw SysError("open " + path);
  }
  return read_all(fd, path, limit);
}

void write_all(int fd, std::string_view content, std::string_view name) {
  while (!content.empty()) {
    ssize_t put = ::write(fd, content.data(), content.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      throw SysError("write " + std::string(name));
    }
    content.remove_prefix(static_cast<size_t>(put));
  }
}

void write_existing(int dir, const std::string& path, std::string_view content) {
  Fd fd = open_file(dir, path, O_WRONLY);
  ssize_t put;
  do put = ::write(fd.get(), content.data(), content.size());
  while (put < 0 && errno == EINTR);
  if (put < 0) throw SysError("write " + std::string(content) + " to " + path);
  if (static_cast<size_t>(put) != content.size())
    throw SysError("write " + std::string(content) + " to " + path, EIO);
}

void replace_file(int dir, const std::string& name, std::string_view content, mode_t mode) {
  // The pid makes the name this process's own; a leftover of a crash under the same pid goes.
  std::string temporary = "." + name + "." + std::to_string(::getpid());
  Fd fd = try_open_file(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  if (!fd && errno == EEXIST && ::unlinkat(dir, temporary.c_str(), 0) == 0)
    fd = try_open_file(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  if (!fd) throw SysError("create " + temporary);
  try {
    write_all(fd.get(), content, name);
    if (::renameat(dir, temporary.c_str(), dir, name.c_str()) < 0)
      throw SysError("rename " + temporary + " to " + name);
  } catch (...) {
    ::unlinkat(dir, temporary.c_str(), 0);
    throw;
  }
}

void replace_file(const std::string& path, std::string_view content, mode_t mode) {
  size_t slash = path.rfind('/');
  std::string dir = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") throw SysError("create " + path, EISDIR);
  replace_file(open_file(AT_FDCWD, dir, O_PATH | O_DIRECTORY).get(), name, content, mode);
}

std::string absolute_path(std::string_view path) {
  if (!path.empty() && path.front() == '/') return std::string(path);
  char here[PATH_MAX];
  if (!::getcwd(here, sizeof here)) throw SysError("getcwd");
  std::string result = here;
  while (path.starts_with("./")) path.remove_prefix(2);
  if (path.empty() || path == ".") return result;
  if (result.back() != '/') result += '/';
  return result.append(path);
}

}  // namespace vessel
