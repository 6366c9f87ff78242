#include "builder/context/context.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "builder/layer/apply.hh"
#include "builder/layer/decompress.hh"
#include "builder/layer/tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/resolve.hh"

namespace kiln {

namespace {

int64_t nanoseconds(const struct timespec& t) {
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// False for sockets.
bool fill(const struct stat& status, ContextEntry& out) {
  if (!entry_from_stat(status, out.entry)) return false;
  out.device = status.st_dev;
  out.inode = status.st_ino;
  out.links = status.st_nlink;
  out.mtime_ns = nanoseconds(status.st_mtim);
  out.ctime_ns = nanoseconds(status.st_ctim);
  return true;
}

class Walker {
 public:
  explicit Walker(const IgnoreRule& ignore) : ignore_(ignore) {}

  void directory(int fd, const std::string& path) {
    // In byte order of whole paths "a-b" comes between "a" and "a/x": what is below a directory
    // has a place of its own, that of its name with a slash.
    struct Item {
      std::string key;
      size_t entry = SIZE_MAX;  // of out_, when this is the content of a directory
    };
    std::vector<Item> items;
    for (std::string& name : list_directory(fd)) items.push_back({std::move(name)});
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].entry != SIZE_MAX) {
        descend(fd, items[i].key, items[i].entry);
        continue;
      }
      const size_t added = add(fd, path, items[i].key);
      if (added == SIZE_MAX || out_[added].entry.type != FileType::directory) continue;
      Item content{items[i].key + "/", added};
      const auto at =
          std::upper_bound(items.begin() + static_cast<std::ptrdiff_t>(i) + 1, items.end(), content,
                           [](const Item& a, const Item& b) { return a.key < b.key; });
      items.insert(at, std::move(content));
    }
  }

  std::vector<ContextEntry> finish() {
    size_t kept = 0;
    size_t next = 0;
    std::ranges::sort(empty_);
    for (size_t i = 0; i < out_.size(); ++i) {
      if (next < empty_.size() && empty_[next] == i) {
        ++next;
        continue;
      }
      if (kept != i) out_[kept] = std::move(out_[i]);
      ++kept;
    }
    out_.resize(kept);
    out_.shrink_to_fit();  // of a large context, kept for a long time
    return std::move(out_);
  }

 private:
  size_t add(int fd, const std::string& path, const std::string& name) {
    struct stat status {};
    if (::fstatat(fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return SIZE_MAX;  // removed while we walk
      throw SysError("stat " + join_path(path, name));
    }
    ContextEntry found;
    if (!fill(status, found)) return SIZE_MAX;
    found.entry.path = join_path(path, name);
    const bool directory = found.entry.type == FileType::directory;
    const Verdict verdict = ignore_ ? ignore_(found.entry.path, directory) : Verdict::keep;
    if (verdict == Verdict::skip || (verdict == Verdict::skip_but_descend && !directory))
      return SIZE_MAX;
    if (found.entry.type == FileType::symlink) found.entry.link = read_link_at(fd, name);
    if (verdict == Verdict::keep) ++kept_;
    out_.push_back(std::move(found));
    tentative_.resize(out_.size());
    tentative_.back() = verdict == Verdict::skip_but_descend;
    return out_.size() - 1;
  }

  void descend(int fd, const std::string& key, size_t entry) {
    const size_t before = kept_;
    const std::string path = out_[entry].entry.path;
    const Fd below(::openat(fd, key.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below) throw SysError("open directory " + path);
    directory(below.get(), path);
    if (tentative_[entry] && kept_ == before) empty_.push_back(entry);
  }

  const IgnoreRule& ignore_;
  std::vector<ContextEntry> out_;
  std::vector<bool> tentative_;  // ignored itself, kept only for what is below
  std::vector<size_t> empty_;    // of those, the ones with nothing below
  size_t kept_ = 0;
};

std::optional<std::string> lexical(std::string_view pattern) {
  // ".." never leaves the root, and may not follow a wildcard's choice.
  const auto walked = walk_in_root(pattern, LastLink::keep, Missing::allow,
                                   [](const std::string&) { return WalkNode{}; });
  if (!walked) return std::nullopt;
  return walked->path;
}

}  // namespace

Context Context::open(const std::string& directory, IgnoreRule ignore) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw SysError("open context " + directory);
  return Context(std::move(fd), directory, std::move(ignore));
}

Context::Context(Fd root, std::string name, IgnoreRule ignore)
    : root_(std::move(root)), name_(std::move(name)), ignore_(std::move(ignore)) {}

bool Context::ignored(const std::string& path, bool directory) const {
  if (!ignore_ || path.empty()) return false;
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1))
    if (ignore_(path.substr(0, slash), true) == Verdict::skip) return true;
  const Verdict verdict = ignore_(path, directory);
  return verdict == Verdict::skip || (verdict == Verdict::skip_but_descend && !directory);
}

std::optional<ContextEntry> Context::stat(std::string_view path, bool follow_last) const {
  struct stat status {};
  std::string link;
  const auto look = [&](const std::string& at) -> WalkNode {
    const auto fd = try_open_in_root(root_.get(), at, O_PATH | O_NOFOLLOW);
    if (!fd) return {};
    if (::fstat(fd->get(), &status) != 0) throw SysError("stat " + at);
    if (S_ISDIR(status.st_mode)) return {WalkNode::Type::directory, {}};
    if (!S_ISLNK(status.st_mode)) return {WalkNode::Type::other, {}};
    link = read_link_at(fd->get(), "");
    return {WalkNode::Type::symlink, link};
  };
  const auto walked =
      walk_in_root(path, follow_last ? LastLink::follow : LastLink::keep, Missing::fail, look);
  if (!walked) return std::nullopt;
  // ".." may have led away from what was looked at last.
  if (walked->path.empty()) {
    if (::fstat(root_.get(), &status) != 0) throw SysError("stat " + name_);
  } else if (look(walked->path).type == WalkNode::Type::missing) {
    return std::nullopt;
  }
  ContextEntry out;
  if (!fill(status, out)) return std::nullopt;
  out.entry.path = walked->path;
  if (out.entry.type == FileType::symlink) out.entry.link = link;
  if (ignored(out.entry.path, out.entry.type == FileType::directory)) return std::nullopt;
  return out;
}

std::vector<ContextEntry> Context::walk(const std::string& path) const {
  std::vector<ContextEntry> out;
  if (!path.empty()) {
    std::optional<ContextEntry> top = stat(path);
    if (!top) return out;
    out.push_back(std::move(*top));
    if (out.front().entry.type != FileType::directory) return out;
  }
  Walker walker(ignore_);
  const Fd fd =
      open_in_root(root_.get(), path, O_RDONLY | O_DIRECTORY | (path.empty() ? 0 : O_NOFOLLOW));
  walker.directory(fd.get(), path);
  std::vector<ContextEntry> below = walker.finish();
  if (out.empty()) return below;
  out.insert(out.end(), std::make_move_iterator(below.begin()),
             std::make_move_iterator(below.end()));
  return out;
}

Fd Context::open_file(const std::string& path) const {
  Fd fd = open_in_root(root_.get(), path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw SysError("stat " + path);
  if (!S_ISREG(status.st_mode)) throw Error(path + " is no longer a regular file");
  return fd;
}

Xattrs Context::xattrs(const std::string& path) const {
  if (path.empty()) return read_xattrs(root_.get(), XattrFilter::layer, nullptr);
  const InRootName at = open_parent_in_root(root_.get(), path);
  return read_xattrs_at(at.parent.get(), at.name, XattrFilter::layer, nullptr);
}

std::vector<std::string> Context::expand(std::string_view pattern) const {
  const std::optional<std::string> cleaned = lexical(pattern);
  if (!cleaned) throw Error("malformed path \"" + std::string(pattern) + "\"");
  if (!has_wildcard(*cleaned)) {
    if (!stat(*cleaned)) return {};
    return {*cleaned};
  }
  std::vector<std::string> found = {""};
  for (size_t at = 0; at <= cleaned->size();) {
    const size_t slash = std::min(cleaned->find('/', at), cleaned->size());
    const std::string part = cleaned->substr(at, slash - at);
    at = slash + 1;
    std::vector<std::string> next;
    for (const std::string& directory : found) {
      if (!has_wildcard(part)) {
        next.push_back(join_path(directory, part));
        continue;
      }
      if (!match_component(part, "")) throw Error("malformed pattern \"" + *cleaned + "\"");
      const auto fd = try_open_in_root(root_.get(), directory, O_RDONLY | O_DIRECTORY);
      if (!fd) continue;
      for (const std::string& name : list_directory(fd->get()))
        if (match_component(part, name).value_or(false)) next.push_back(join_path(directory, name));
    }
    found = std::move(next);
  }
  std::erase_if(found, [this](const std::string& path) { return !stat(path); });
  std::ranges::sort(found);
  return found;
}

Context context_from_tar(ByteSource& tar, Fd into, std::string name, IgnoreRule ignore) {
  const std::unique_ptr<ByteSource> plain = decompress(tar);
  ApplyOptions options;
  options.kind = ApplyOptions::Kind::archive;
  options.owners = false;
  options.devices = false;
  options.xattrs = false;
  try {
    apply_tar(*plain, into.get(), options);
  } catch (Error& error) {
    error.prepend("context " + name);
    throw;
  }
  return Context(std::move(into), std::move(name), std::move(ignore));
}

}  // namespace kiln
