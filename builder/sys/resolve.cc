#include "builder/sys/resolve.hh"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <atomic>
#include <climits>
#include <deque>
#include <map>
#include <vector>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

constexpr int max_links = 40;  // MAXSYMLINKS of the kernel
std::atomic<bool> no_openat2 = false;

// The components in order; a trailing slash becomes ".", which demands a directory.
std::deque<std::string> components(std::string_view path) {
  std::deque<std::string> out;
  size_t at = 0;
  while (at < path.size()) {
    const size_t slash = std::min(path.find('/', at), path.size());
    if (slash > at) out.emplace_back(path.substr(at, slash - at));
    at = slash + 1;
  }
  if (!path.empty() && path.back() == '/') out.emplace_back(".");
  return out;
}

// One walk of the fallback: every directory that was passed stays open, so that ".." is a step
// back to a held descriptor and never a lookup that a rename could turn against us.
class FdWalk {
 public:
  explicit FdWalk(int root) : root_(root) {}

  WalkNode look(const std::string& path) {
    const size_t slash = path.rfind('/');
    const int parent = directory(slash == std::string::npos ? "" : path.substr(0, slash));
    const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    Fd fd(::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
      if (errno == ENOENT) return {};
      throw SysError("open " + path);
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) throw SysError("stat " + path);
    if (S_ISLNK(status.st_mode)) return {WalkNode::Type::symlink, target(fd.get(), path)};
    if (!S_ISDIR(status.st_mode)) return {WalkNode::Type::other, {}};
    held_[path] = std::move(fd);
    return {WalkNode::Type::directory, {}};
  }

  int directory(const std::string& path) const {
    if (path.empty()) return root_;
    const auto found = held_.find(path);
    if (found == held_.end()) throw SysError("open " + path, ENOENT);
    return found->second.get();
  }

 private:
  static std::string target(int fd, const std::string& path) {
    struct statfs fs {};
    if (::fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC)
      throw SysError("open " + path, ELOOP);  // as RESOLVE_NO_MAGICLINKS would, for all of procfs
    std::string text(PATH_MAX, '\0');
    const ssize_t size = ::readlinkat(fd, "", text.data(), text.size());
    if (size < 0) throw SysError("read link " + path);
    text.resize(static_cast<size_t>(size));
    return text;
  }

  int root_;
  std::map<std::string, Fd> held_;
};

std::expected<Fd, int> walk_and_open(int root, std::string_view path, int flags, mode_t mode) {
  const bool keep = (flags & O_NOFOLLOW) != 0 || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
  try {
    FdWalk walk(root);
    const auto walked = walk_in_root(path, keep ? LastLink::keep : LastLink::follow,
                                     (flags & O_CREAT) != 0 ? Missing::allow : Missing::fail,
                                     [&](const std::string& at) { return walk.look(at); });
    if (!walked) return std::unexpected(walked.error());
    const size_t slash = walked->path.rfind('/');
    const int parent =
        walk.directory(slash == std::string::npos ? std::string() : walked->path.substr(0, slash));
    const std::string name = walked->path.empty()         ? "."
                             : slash == std::string::npos ? walked->path
                                                          : walked->path.substr(slash + 1);
    Fd fd(::openat(parent, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!fd) return std::unexpected(errno);
    return fd;
  } catch (const SysError& error) {
    return std::unexpected(error.code());
  }
}

}  // namespace

void forbid_openat2(bool forbidden) {
  no_openat2 = forbidden;
}

std::expected<Walked, int> walk_in_root(std::string_view path, LastLink last, Missing missing,
                                        const WalkLookup& lookup) {
  using Type = WalkNode::Type;
  if (path.size() >= PATH_MAX) return std::unexpected(ENAMETOOLONG);
  std::deque<std::string> rest = components(path);
  std::vector<std::string> here;
  // Types of the prefixes of `here`, so that ".." knows what it returns to.
  std::vector<Type> types;
  int links = 0;
  const auto text = [&] {
    std::string out;
    for (const std::string& part : here) {
      if (!out.empty()) out += '/';
      out += part;
    }
    return out;
  };
  while (!rest.empty()) {
    const std::string part = std::move(rest.front());
    rest.pop_front();
    const Type type = types.empty() ? Type::directory : types.back();
    if (type == Type::other || type == Type::symlink) return std::unexpected(ENOTDIR);
    if (type == Type::missing && missing == Missing::fail) return std::unexpected(ENOENT);
    if (part == ".") continue;
    if (part == "..") {
      if (!here.empty()) here.pop_back(), types.pop_back();
      continue;
    }
    if (part.size() > NAME_MAX) return std::unexpected(ENAMETOOLONG);
    here.push_back(part);
    if (type == Type::missing) {
      types.push_back(Type::missing);
      continue;
    }
    WalkNode node = lookup(text());
    if (node.type == Type::symlink && !(rest.empty() && last == LastLink::keep)) {
      if (links++ >= max_links) return std::unexpected(ELOOP);
      if (node.link.empty()) return std::unexpected(ENOENT);
      here.pop_back();
      if (node.link.front() == '/') here.clear(), types.clear();
      std::deque<std::string> target = components(node.link);
      rest.insert(rest.begin(), target.begin(), target.end());
      continue;
    }
    types.push_back(node.type);
  }
  Walked out{text(), types.empty() ? Type::directory : types.back()};
  if (out.type == Type::missing && missing == Missing::fail) return std::unexpected(ENOENT);
  return out;
}

std::expected<Fd, int> try_open_in_root(int root, std::string_view path, int flags, mode_t mode) {
  if (path.find('\0') != std::string_view::npos) return std::unexpected(EINVAL);
  if (!no_openat2.load(std::memory_order_relaxed)) {
    struct open_how how {};
    how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
    how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const std::string text(path.empty() ? "." : path);
    for (int attempt = 0; attempt < 32; ++attempt) {
      const long fd = ::syscall(SYS_openat2, root, text.c_str(), &how, sizeof how);
      if (fd >= 0) return Fd(static_cast<int>(fd));
      if (errno == ENOSYS) no_openat2 = true;
      // EAGAIN: a rename or mount raced with the walk and the kernel cannot rule out an escape.
      if (errno != EAGAIN) break;
    }
    // EPERM comes from seccomp profiles that predate openat2.
    if (errno != ENOSYS && errno != EPERM && errno != EAGAIN) return std::unexpected(errno);
  }
  return walk_and_open(root, path, flags, mode);
}

Fd open_in_root(int root, std::string_view path, int flags, mode_t mode) {
  auto fd = try_open_in_root(root, path, flags, mode);
  if (!fd) throw SysError("open " + std::string(path) + " in root", fd.error());
  return std::move(*fd);
}

std::vector<std::string_view> clean_components(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..")
      parts.push_back(part);
    else if (!parts.empty())
      parts.pop_back();
  }
  return parts;
}

InRootName open_parent_in_root(int root, std::string_view path) {
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  const std::string_view parent =
      slash == std::string_view::npos ? std::string_view() : path.substr(0, slash + 1);
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..")
    throw Error("path \"" + std::string(path) + "\" does not name an entry of a directory");
  return {open_in_root(root, parent, O_PATH | O_DIRECTORY), std::string(name)};
}

}  // namespace kiln
