#include "builder/layer/apply.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <vector>

#include "builder/layer/indexed_reader.hh"
#include "builder/layer/recorded_owner.hh"
#include "builder/layer/tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/resolve.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln {

namespace {

constexpr size_t buffer_size = size_t{256} << 10;

struct Times {
  struct timespec pair[2];
};

Times times_of(int64_t seconds, uint32_t nanoseconds) {
  const struct timespec t { seconds, static_cast<long>(nanoseconds) };
  return {{t, t}};
}

mode_t node_type(FileType type) {
  return type == FileType::fifo ? S_IFIFO : type == FileType::char_device ? S_IFCHR : S_IFBLK;
}

}  // namespace

struct Applier::State {
  int root;
  ApplyOptions options;
  std::vector<std::byte> buffer = std::vector<std::byte>(buffer_size);
  uint64_t entries = 0;
  uint64_t bytes = 0;
  const uid_t own_uid = ::geteuid();
  const gid_t own_gid = ::getegid();

  // What this layer brought, so that its whiteouts spare it.
  std::unordered_set<std::string> made;
  // Directories whose time is set at the end: those of the layer, and those of lower layers that
  // changed only because something in them did (their time is put back).
  std::map<std::string, std::pair<int64_t, uint32_t>> times;

  Fd parent;  // of the entry before; most entries share it
  std::string parent_of;
  bool parent_known = false;

  // The directory that holds `path`, made if the layer does not list it.
  int open_parent(const std::string& path, const Entry& cause) {
    const std::string_view directory = parent_path(path);
    if (parent_known && parent_of == directory) return parent.get();
    parent = open_directory(std::string(directory), cause);
    parent_of = directory;
    parent_known = true;
    return parent.get();
  }

  Fd open_directory(const std::string& path, const Entry& cause) {
    auto fd = try_open_in_root(root, path, O_PATH | O_DIRECTORY);
    if (!fd && fd.error() == ENOENT && !path.empty()) {
      const Fd above = open_directory(std::string(parent_path(path)), cause);
      const std::string name(base_name(path));
      if (::mkdirat(above.get(), name.c_str(), 0755) != 0) {
        if (errno == EEXIST) throw Error("/" + path + " is a link that leads nowhere in the root");
        throw SysError("make directory");
      }
      if (::fchmodat(above.get(), name.c_str(), 0755, 0) != 0) throw SysError("change mode");
      // No time is recorded for it anywhere; the clock's would differ from run to run.
      times[path] = {options.mtime.value_or(cause.mtime), 0};
      made.insert(path);
      fd = try_open_in_root(root, path, O_PATH | O_DIRECTORY);
    }
    if (!fd) throw SysError("open parent directory", fd.error());
    if (!times.contains(path)) {
      struct stat status {};
      if (::fstat(fd->get(), &status) != 0) throw SysError("stat parent directory");
      times[path] = {status.st_mtim.tv_sec, static_cast<uint32_t>(status.st_mtim.tv_nsec)};
    }
    return std::move(*fd);
  }

  void remove(int dir, const std::string& name, const std::string& path) {
    parent_known = parent_known && !(parent_of == path || parent_of.starts_with(path + "/"));
    // A removed link may have been on the way to other parents; they are few, so forget all.
    remove_tree_at(dir, name);
    const auto first = times.lower_bound(path);
    for (auto at = first; at != times.end() && at->first.starts_with(path);)
      at = at->first == path || at->first[path.size()] == '/' ? times.erase(at) : std::next(at);
  }

  // Removes what lower layers have in the directory `path`, except what this layer made.
  void hide_children(const std::string& path, const Entry& cause) {
    auto opened = try_open_in_root(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!opened) {
      if (opened.error() == ENOENT || opened.error() == ENOTDIR || opened.error() == ELOOP) return;
      throw SysError("open directory", opened.error());
    }
    open_parent(join_path(path, "x"), cause);  // records the directory's time
    for (const std::string& name : list_directory(opened->get())) {
      const std::string child = join_path(path, name);
      if (!made.contains(child)) {
        remove(opened->get(), name, child);
      } else {
        struct stat status {};
        if (::fstatat(opened->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(status.st_mode))
          hide_children(child, cause);
      }
    }
  }

  void whiteout(const Entry& entry) {
    auto above = try_open_in_root(root, parent_path(entry.path), O_PATH | O_DIRECTORY);
    if (!above) {  // nothing there to delete
      if (above.error() == ENOENT || above.error() == ENOTDIR) return;
      throw SysError("open parent directory", above.error());
    }
    if (made.contains(entry.path)) {
      hide_children(entry.path, entry);
      return;
    }
    const std::string name(base_name(entry.path));
    struct stat status {};
    if (::fstatat(above->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return;
    const int dir = open_parent(entry.path, entry);
    remove(dir, name, entry.path);
    parent_known = false;
  }

  // Runs `make` (mkdirat, openat with O_EXCL, …: -1 and errno) and once more when something
  // of another kind stood in its place.
  template <typename Make>
  int make_new(int dir, const std::string& name, const Entry& entry, const Make& make) {
    int result = make();
    if (result < 0 && errno == EEXIST) {
      remove(dir, name, entry.path);
      parent_known = false;
      result = make();
    }
    if (result < 0) throw SysError("create");
    return result;
  }

  void set_xattrs(const Entry& entry, int fd, const std::string& by_path) {
    if (!options.xattrs) return;
    for (const auto& [name, value] : entry.xattrs) {
      if (!layer_keeps_xattr(name)) continue;
      const int result =
          fd >= 0 ? ::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0)
                  : ::lsetxattr(by_path.c_str(), name.c_str(), value.data(), value.size(), 0);
      if (result != 0 && errno != ENOTSUP) throw SysError("set xattr " + name);
    }
  }

  // chown clears set-id bits and capabilities: owner first, then xattrs, then mode, then time.
  void finish_fd(const Entry& entry, int fd) {
    // Each change is a transaction of the filesystem (two with overlay), looking is nothing.
    struct stat status {};
    if (::fstat(fd, &status) != 0) throw SysError("stat");
    const bool chown = options.owners && (status.st_uid != entry.uid || status.st_gid != entry.gid);
    if (chown) set_owner(fd, {entry.uid, entry.gid});
    set_xattrs(entry, fd, {});
    const bool plain = !chown && entry.xattrs.empty() && (status.st_mode & 07777) == entry.mode;
    if (!plain && ::fchmod(fd, entry.mode) != 0) throw SysError("change mode");
  }

  // Until the owner is set a file of somebody else must not be open to the group that we have.
  bool private_until_owned(const Entry& entry) const {
    return options.owners && (entry.uid != own_uid || entry.gid != own_gid);
  }

  void directory(const Entry& entry) {
    const bool is_root = entry.path.empty();
    Fd fd;
    if (is_root) {
      fd = Fd(::openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    } else {
      const int dir = open_parent(entry.path, entry);
      const std::string name(base_name(entry.path));
      const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
      if (::mkdirat(dir, name.c_str(), 0700) != 0) {
        if (errno != EEXIST) throw SysError("make directory");
        fd = Fd(::openat(dir, name.c_str(), flags));
        if (!fd) {
          if (errno != ENOTDIR && errno != ELOOP) throw SysError("open directory");
          remove(dir, name, entry.path);
          parent_known = false;
          if (::mkdirat(dir, name.c_str(), 0700) != 0) throw SysError("make directory");
        } else {
          clear_xattrs(fd.get());
        }
      }
      if (!fd) fd = Fd(::openat(open_parent(entry.path, entry), name.c_str(), flags));
    }
    if (!fd) throw SysError("open directory");
    finish_fd(entry, fd.get());
    times[entry.path] = {entry.mtime, entry.mtime_nsec};
  }

  // An entry carries all of its xattrs: a directory that stays loses those it does not list.
  void clear_xattrs(int fd) const {
    if (!options.xattrs) return;
    for (const auto& [name, value] : read_xattrs(fd, XattrFilter::layer, nullptr))
      if (::fremovexattr(fd, name.c_str()) != 0) throw SysError("remove xattr " + name);
  }

  void file(const Entry& entry, ByteSource* content) {
    const int dir = open_parent(entry.path, entry);
    const std::string name(base_name(entry.path));
    const Fd fd(make_new(dir, name, entry, [&] {
      // Never more than the entry grants, and mostly right at once.
      return ::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      entry.mode & (private_until_owned(entry) ? 0600 : 0777));
    }));
    uint64_t left = entry.size;
    while (left != 0) {
      const size_t got =
          content == nullptr
              ? 0
              : content->read(std::span(buffer).first(std::min<uint64_t>(left, buffer.size())));
      if (got == 0) throw Error("content ends early");
      write_all(fd.get(), std::span<const std::byte>(buffer).first(got));
      left -= got;
    }
    finish_fd(entry, fd.get());
    const Times t = times_of(entry.mtime, entry.mtime_nsec);
    if (::futimens(fd.get(), t.pair) != 0) throw SysError("set time");
  }

  void other(const Entry& entry) {
    const int dir = open_parent(entry.path, entry);
    const std::string name(base_name(entry.path));
    if (entry.type == FileType::symlink) {
      make_new(dir, name, entry,
               [&] { return ::symlinkat(entry.link.c_str(), dir, name.c_str()); });
    } else {
      const bool device = entry.type != FileType::fifo;
      // The kernel makes none in a user namespace. A layer's node is left out of the tree that a
      // step sees; the layer itself keeps it.
      if (device && options.kind == ApplyOptions::Kind::layer && mapped_ids() != UINT32_MAX) return;
      if (device && !options.devices)
        throw Error("is a device node, which cannot be made without privileges");
      make_new(dir, name, entry, [&] {
        return ::mknodat(dir, name.c_str(), node_type(entry.type) | 0600,
                         device ? makedev(entry.dev_major, entry.dev_minor) : 0);
      });
    }
    if (options.owners) set_owner_at(dir, name, {entry.uid, entry.gid});
    if (!entry.xattrs.empty())
      set_xattrs(entry, -1, "/proc/self/fd/" + std::to_string(dir) + "/" + name);
    // The node is ours and one statement old; fchmodat has no way not to follow before 6.6.
    if (entry.type != FileType::symlink && ::fchmodat(dir, name.c_str(), entry.mode, 0) != 0)
      throw SysError("change mode");
    const Times t = times_of(entry.mtime, entry.mtime_nsec);
    if (::utimensat(dir, name.c_str(), t.pair, AT_SYMLINK_NOFOLLOW) != 0)
      throw SysError("set time");
  }

  void hardlink(const Entry& entry) {
    if (entry.link == entry.path) throw Error("hard link to itself");
    const InRootName target = open_parent_in_root(root, entry.link);
    struct stat status {};
    if (::fstatat(target.parent.get(), target.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      throw SysError("hard link to " + entry.link);
    if (S_ISDIR(status.st_mode)) throw Error("hard link to a directory, " + entry.link);
    const int dir = open_parent(entry.path, entry);
    const std::string name(base_name(entry.path));
    struct stat existing {};
    if (::fstatat(dir, name.c_str(), &existing, AT_SYMLINK_NOFOLLOW) == 0 &&
        existing.st_dev == status.st_dev && existing.st_ino == status.st_ino)
      return;  // already one file
    make_new(dir, name, entry, [&] {
      return ::linkat(target.parent.get(), target.name.c_str(), dir, name.c_str(), 0);
    });
  }

  void add(Entry entry, ByteSource* content) {
    if (++entries > options.max_entries)
      throw Error("more than " + std::to_string(options.max_entries) + " entries");
    if (entry.size > options.max_bytes - bytes)
      throw Error("more than " + std::to_string(options.max_bytes) + " bytes of content");
    bytes += entry.size;
    if (options.mtime) entry.mtime = *options.mtime, entry.mtime_nsec = 0;
    if (options.uid) entry.uid = *options.uid;
    if (options.gid) entry.gid = *options.gid;
    switch (entry.type) {
      case FileType::whiteout:
        whiteout(entry);
        return;
      case FileType::opaque:
        hide_children(entry.path, entry);
        return;
      case FileType::directory:
        directory(entry);
        break;
      case FileType::file:
        file(entry, content);
        break;
      case FileType::hardlink:
        hardlink(entry);
        break;
      default:
        other(entry);
    }
    if (options.kind == ApplyOptions::Kind::layer) made.insert(entry.path);
  }

  void finish() {
    for (const auto& [path, time] : times) {
      const auto fd = try_open_in_root(root, path, O_RDONLY | O_DIRECTORY);
      if (!fd) continue;  // replaced by a later entry
      const Times t = times_of(time.first, time.second);
      if (::futimens(fd->get(), t.pair) != 0) throw SysError("set time of /" + path);
    }
    times.clear();
  }
};

Applier::Applier(int root, const ApplyOptions& options)
    : state_(std::make_unique<State>(root, options)) {}
Applier::~Applier() = default;

void Applier::add(const Entry& entry, ByteSource* content) {
  try {
    state_->add(entry, content);
  } catch (Error& error) {
    error.prepend("/" + entry.path);
    throw;
  }
}

void Applier::finish() {
  state_->finish();
}

namespace {

// Decompressors and pipes give small pieces and tar asks for 512 bytes at a time.
class BufferedSource final : public ByteSource {
 public:
  explicit BufferedSource(ByteSource& source) : source_(source), buffer_(buffer_size) {}
  size_t read(std::span<std::byte> data) override {
    if (at_ == end_) {
      if (data.size() >= buffer_.size()) return source_.read(data);
      at_ = 0;
      end_ = source_.read(buffer_);
    }
    const size_t size = std::min(data.size(), end_ - at_);
    std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(at_), size, data.begin());
    at_ += size;
    return size;
  }

 private:
  ByteSource& source_;
  std::vector<std::byte> buffer_;
  size_t at_ = 0, end_ = 0;
};

}  // namespace

LayerIndex apply_tar(ByteSource& tar, int root, const ApplyOptions& options) {
  BufferedSource buffered(tar);
  IndexedReader reader(buffered, options.kind == ApplyOptions::Kind::layer
                                     ? TarReader::Whiteouts::decode
                                     : TarReader::Whiteouts::literal);
  Applier applier(root, options);
  while (const Entry* entry = reader.next())
    if (!options.skip || !options.skip(*entry)) applier.add(*entry, &reader);
  applier.finish();
  return reader.finish();
}

bool layer_keeps_xattr(std::string_view name) {
  if (name == "security.capability" || name == "system.posix_acl_access" ||
      name == "system.posix_acl_default")
    return true;
  return name.starts_with("user.") && !name.starts_with("user.overlay.") &&
         name != "user.rootlesscontainers";
}

}  // namespace kiln
