#include "runtime/sys/resolve.hh"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr int most_links = 40;     // as the kernel's own limit
constexpr int most_attempts = 64;  // against somebody who renames all the time

enum class Missing : uint8_t { fail, make_directory, make_file };

bool hidden_by_filter(int error) {
  return error == ENOSYS || error == EPERM;
}

// What the kernel does for RESOLVE_IN_ROOT, one component at a time. Every step opens under a
// held descriptor without following links; ".." goes back to the descriptor that was held before,
// never to what the kernel thinks is the parent now. So the walk cannot leave the root, whoever
// renames what meanwhile.
class Walk {
 public:
  Walk(int root, std::string_view path) : root_(root) { push_components(path); }

  // O_PATH descriptor of what is there, or empty with errno.
  Fd find(Symlinks symlinks, bool keep_last_link, Missing missing, mode_t mode);
  // As find(), but opened with `flags`.
  Fd open(int flags, mode_t mode, Symlinks symlinks);

 private:
  int top() const { return held_.empty() ? root_ : held_.back().get(); }
  void push_components(std::string_view path);
  bool next_component();
  Fd open_component(Missing missing, mode_t mode) const;
  bool expand_link(int link);

  const int root_;
  std::vector<std::string> pending_;  // the next component is the last element
  std::vector<Fd> held_;              // the directories from the root to here
  std::string name_;                  // the component that is being looked at
  int links_ = 0;
};

void Walk::push_components(std::string_view path) {
  size_t end = path.size();
  while (end > 0) {
    const size_t slash = path.rfind('/', end - 1);
    const size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
    const std::string_view component = path.substr(begin, end - begin);
    if (!component.empty() && component != ".") pending_.emplace_back(component);
    if (slash == std::string_view::npos) break;
    end = slash;
  }
}

// Steps over ".."; false at the end of the path.
bool Walk::next_component() {
  while (!pending_.empty()) {
    name_ = std::move(pending_.back());
    pending_.pop_back();
    if (name_ != "..") return true;
    if (!held_.empty()) held_.pop_back();
  }
  return false;
}

Fd Walk::open_component(Missing missing, mode_t mode) const {
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    Fd fd(openat(top(), name_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (fd || errno != ENOENT || missing == Missing::fail) return fd;
    const bool file = missing == Missing::make_file && pending_.empty();
    const int made =
        file ? mknodat(top(), name_.c_str(), S_IFREG | mode, 0)
             : mkdirat(top(), name_.c_str(), missing == Missing::make_file ? 0755 : mode);
    if (made < 0 && errno != EEXIST) return Fd();
  }
  errno = EAGAIN;
  return Fd();
}

bool Walk::expand_link(int link) {
  if (++links_ > most_links) {
    errno = ELOOP;
    return false;
  }
  char target[PATH_MAX];
  const ssize_t length = readlinkat(link, "", target, sizeof target);
  if (length <= 0) return false;
  const std::string_view text(target, static_cast<size_t>(length));
  if (text.front() == '/') held_.clear();
  push_components(text);
  return true;
}

Fd Walk::find(Symlinks symlinks, bool keep_last_link, Missing missing, mode_t mode) {
  while (next_component()) {
    Fd fd = open_component(missing, mode);
    if (!fd) return Fd();
    struct stat status {};
    if (fstat(fd.get(), &status) < 0) return Fd();
    if (!S_ISLNK(status.st_mode)) {
      held_.push_back(std::move(fd));
      continue;
    }
    if (symlinks == Symlinks::refuse) {
      errno = ELOOP;
      return Fd();
    }
    if (keep_last_link && pending_.empty()) return fd;
    if (!expand_link(fd.get())) return Fd();
  }
  if (held_.empty()) return Fd(openat(root_, ".", O_PATH | O_CLOEXEC));
  return std::move(held_.back());
}

Fd Walk::open(int flags, mode_t mode, Symlinks symlinks) {
  const bool keep_last_link = (flags & O_NOFOLLOW) != 0;
  Fd found = find(symlinks, keep_last_link, Missing::fail, 0);
  flags |= O_CLOEXEC | O_NOFOLLOW;
  if (!found) {
    // The parent is what is held; the name is the one that was not there.
    if (errno == ENOENT && (flags & O_CREAT) && pending_.empty())
      return Fd(openat(top(), name_.c_str(), flags, mode));
    return found;
  }
  if (flags & O_PATH) {
    struct stat status {};
    if ((flags & O_DIRECTORY) && (fstat(found.get(), &status) < 0 || !S_ISDIR(status.st_mode))) {
      errno = ENOTDIR;
      return Fd();
    }
    return found;
  }
  // An O_PATH descriptor is opened again by its name under the held parent; a link that was put
  // there meanwhile is refused.
  struct stat status {};
  if (fstat(found.get(), &status) < 0) return Fd();
  if (S_ISDIR(status.st_mode)) return Fd(openat(found.get(), ".", flags, mode));
  if (!held_.empty()) held_.pop_back();
  return Fd(openat(top(), name_.c_str(), flags, mode));
}

Fd make_in_root(int root, std::string_view path, Missing missing, mode_t mode) {
  const int flags = O_PATH | (missing == Missing::make_directory ? O_DIRECTORY : 0);
  Fd fd = try_resolve_in_root(root, path, flags);
  if (fd) return fd;
  if (errno == ENOENT) {
    fd = Walk(root, path).find(Symlinks::follow, false, missing, mode);
    if (fd && missing == Missing::make_directory) {
      struct stat status {};
      if (fstat(fd.get(), &status) == 0 && !S_ISDIR(status.st_mode)) {
        fd.reset();
        errno = ENOTDIR;
      }
    }
  }
  if (!fd) throw SysError("make " + std::string(path) + " in the container's root");
  return fd;
}

}  // namespace

Fd try_resolve_in_root(int root, std::string_view path, int flags, mode_t mode,
                       Symlinks symlinks) noexcept {
  const std::string name(path.empty() ? std::string_view(".") : path);
  open_how how{};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC);
  how.mode = (flags & O_CREAT) ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  if (symlinks == Symlinks::refuse) how.resolve |= RESOLVE_NO_SYMLINKS;
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    Fd fd(static_cast<int>(syscall(SYS_openat2, root, name.c_str(), &how, sizeof how)));
    if (fd) return fd;
    // EAGAIN: a rename somewhere while ".." was being looked up.
    if (errno != EAGAIN && errno != EINTR) break;
  }
  if (!hidden_by_filter(errno) && errno != EAGAIN) return Fd();
  return Walk(root, path).open(flags, mode, symlinks);
}

Fd try_make_file_in_root(int root, std::string_view path, mode_t mode) noexcept {
  // O_EXCL: what somebody puts there meanwhile, a link or a fifo, is never opened.
  return try_resolve_in_root(root, path, O_RDONLY | O_CREAT | O_EXCL, mode, Symlinks::refuse);
}

Fd try_make_directory_in_root(int root, std::string_view path, mode_t mode) noexcept {
  while (path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  const std::string name(path.substr(slash == path.npos ? 0 : slash + 1));
  if (name.empty() || name == "." || name == "..") {
    errno = EINVAL;
    return Fd();
  }
  const Fd parent = try_resolve_in_root(root, slash == path.npos ? "." : path.substr(0, slash + 1),
                                        O_PATH | O_DIRECTORY, 0, Symlinks::refuse);
  if (!parent || (mkdirat(parent.get(), name.c_str(), mode) < 0 && errno != EEXIST)) return Fd();
  return try_resolve_in_root(parent.get(), name, O_PATH | O_DIRECTORY, 0, Symlinks::refuse);
}

Fd resolve_in_root(int root, std::string_view path, int flags, mode_t mode, Symlinks symlinks) {
  Fd fd = try_resolve_in_root(root, path, flags, mode, symlinks);
  if (!fd) throw SysError("open " + std::string(path) + " in the container's root");
  return fd;
}

Fd make_directory_in_root(int root, std::string_view path, mode_t mode) {
  return make_in_root(root, path, Missing::make_directory, mode);
}

Fd make_file_in_root(int root, std::string_view path, mode_t mode) {
  return make_in_root(root, path, Missing::make_file, mode);
}

ParentInRoot make_parent_in_root(int root, std::string_view path, mode_t mode) {
  while (path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..")
    throw Error("\"" + std::string(path) + "\" does not name anything inside the root");
  const std::string_view parent = slash == std::string_view::npos ? "/" : path.substr(0, slash);
  return {make_directory_in_root(root, parent.empty() ? "/" : parent, mode), std::string(name)};
}

}  // namespace vessel
