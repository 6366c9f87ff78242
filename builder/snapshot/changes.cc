#include "builder/snapshot/changes.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "builder/layer/recorded_owner.hh"
#include "builder/layer/tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/sha256.hh"

namespace kiln {

namespace {

constexpr int dir_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr int file_flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

bool is_whiteout(const struct stat& status) {
  return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

bool has_mark(int fd, const char* name, char wanted) {
  for (const char* space : {"trusted.overlay.", "user.overlay."}) {
    char value = 0;
    const ssize_t size = ::fgetxattr(fd, (std::string(space) + name).c_str(), &value, 1);
    if (size == 1 && value == wanted) return true;
  }
  return false;
}

std::string content_digest(int fd) {
  Sha256 hash;
  std::vector<std::byte> buffer(size_t{1} << 17);
  for (off_t at = 0;;) {
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), at);
    if (n < 0) throw SysError("read");
    if (n == 0) return hex(hash.finish());
    hash.update(std::span<const std::byte>(buffer).first(static_cast<size_t>(n)));
    at += n;
  }
}

// The directories that together are one directory of the view below, top first.
struct LowerDirectory {
  std::vector<Fd> owned;
  std::vector<int> fds;
  std::optional<std::string> indexed;  // its path, where the view below is an index

  void push(Fd fd) {
    fds.push_back(fd.get());
    owned.push_back(std::move(fd));
  }
};

class Finder {
 public:
  Finder(const ChangeSource& source, const ChangeOptions& options,
         const std::function<void(const Change&)>& emit)
      : source_(source), options_(options), emit_(emit) {}

  // Also to be listed, though unchanged.
  void list(std::set<std::string> directories) { listed_ = std::move(directories); }

  ChangeStats run() {
    LowerDirectory lower;
    for (int fd : source_.lowers) lower.fds.push_back(fd);
    if (source_.index != nullptr) lower.indexed = "";
    root(lower);
    directory(source_.upper, lower, "", !source_.overlay, true);
    return std::move(stats_);
  }

 private:
  struct Found {
    struct stat status {};
    int holder = -1;  // the lower directory that has it
    LowerDirectory content;
    std::optional<IndexEntry> indexed;  // in the place of the two above
  };
  struct Item {
    std::string key;  // sorts as the layer does: name, "name/" for its content, ".wh.name"
    enum class Kind : uint8_t { entry, content, deletion } kind = Kind::entry;
    std::string name;
    struct stat status {};
  };

  // A name in the view below; nullopt when it is not visible there.
  std::optional<Found> look(const LowerDirectory& lower, const std::string& name) const {
    if (lower.indexed) return look_in_index(join_path(*lower.indexed, name));
    std::optional<Found> found;
    for (int fd : lower.fds) {
      struct stat status {};
      if (::fstatat(fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) continue;
        throw SysError("stat " + name);
      }
      if (source_.overlay && is_whiteout(status)) break;
      const bool directory = S_ISDIR(status.st_mode);
      if (!found) {
        found.emplace();
        found->status = status;
        found->holder = fd;
      }
      if (!directory) break;
      Fd below(::openat(fd, name.c_str(), dir_flags));
      if (!below) throw SysError("open lower directory " + name);
      const bool opaque = source_.overlay && has_mark(below.get(), "opaque", 'y');
      found->content.push(std::move(below));
      if (opaque) break;
    }
    return found;
  }

  std::optional<Found> look_in_index(const std::string& path) const {
    auto entry = source_.index->lookup(path);
    if (!entry) return std::nullopt;
    Found found;
    // A layer has no sockets: all that is asked of the rest is whether it is a directory.
    const bool directory = entry->type == FileType::directory;
    found.status.st_mode = directory ? S_IFDIR : S_IFREG;
    if (directory) found.content.indexed = path;
    found.indexed = std::move(entry);
    return found;
  }

  // The attributes of a name as a layer has them. Xattrs that are dropped are counted for the
  // upper.
  Entry describe(int directory, const std::string& name, const struct stat& status, int fd,
                 bool upper) {
    Entry entry;
    entry_from_stat(status, entry);
    entry.mtime_nsec = 0;
    if (entry.type == FileType::symlink) entry.link = read_link_at(directory, name);
    std::map<std::string, uint64_t> dropped;
    entry.xattrs = fd >= 0 ? read_xattrs(fd, XattrFilter::layer, &dropped)
                           : read_xattrs_at(directory, name, XattrFilter::layer, &dropped);
    if (dropped.contains(owner_xattr) && fd >= 0)
      if (const auto owner = recorded_owner(fd)) {
        entry.uid = owner->uid;
        entry.gid = owner->gid;
        dropped.erase(owner_xattr);
      }
    if (!upper) return entry;
    for (const auto& [key, count] : dropped) {
      const bool trusted = key.starts_with("trusted.overlay.");
      if (!trusted && !key.starts_with("user.overlay.")) {
        stats_.dropped_xattrs[key] += count;
        continue;
      }
      const std::string_view mark =
          std::string_view(key).substr(key.find(".overlay.") + sizeof(".overlay.") - 1);
      if (source_.overlay && (mark == "redirect" || mark == "metacopy"))
        throw Error("carries overlay's " + std::string(mark) +
                    " mark: its content is elsewhere and would be lost");
    }
    return entry;
  }

  void root(const LowerDirectory& lower) {
    struct stat up {
    }, low{};
    if (::fstat(source_.upper, &up) != 0) throw SysError("stat root");
    Entry entry = describe(source_.upper, ".", up, source_.upper, true);
    // What a fresh tree is, when there is nothing below.
    Entry old{.type = FileType::directory, .mode = 0755, .uid = ::geteuid(), .gid = ::getegid()};
    if (const auto known = source_.index != nullptr ? source_.index->lookup("") : std::nullopt) {
      // An index does not tell a root without an entry from one that is nobody's.
      old.mode = known->mode;
      old.uid = known->uid;
      old.gid = known->gid;
      if (known->attributes == LayerIndex::attributes_of(entry)) old.xattrs = entry.xattrs;
    }
    if (!lower.fds.empty()) {
      if (::fstat(lower.fds.front(), &low) != 0) throw SysError("stat root");
      old = describe(lower.fds.front(), ".", low, lower.fds.front(), false);
    }
    // The time of the root changes with everything that is made in it, and that of a base was set
    // by whoever unpacked it: it says nothing.
    entry.mtime = old.mtime = 0;
    if (metadata_differs(entry, old)) send(entry, -1, source_.upper, ".");
  }

  void clamp(Entry& entry) const {
    if (options_.clamp_mtime) entry.mtime = std::min(entry.mtime, *options_.clamp_mtime);
  }

  void send(Entry& entry, int content, int directory, const std::string& name) {
    clamp(entry);
    emit(entry, content, directory, name);
  }

  void emit(const Entry& entry, int content, int directory, const std::string& name) {
    emit_({entry, content, directory, name});
    ++stats_.entries;
  }

  // `complete`: what is not in the upper is deleted. `settled`: the directory sits where it was
  // put.
  void directory(int fd, const LowerDirectory& lower, const std::string& path, bool complete,
                 bool settled) {
    std::vector<Item> items;
    std::vector<std::string> names = list_directory(fd);
    for (const std::string& name : names) upper_item(fd, lower, path, name, items);
    if (complete) deletions(lower, path, names, items);
    std::ranges::sort(items, {}, &Item::key);
    for (const Item& item : items) {
      const std::string at = join_path(path, item.name);
      try {
        if (item.kind == Item::Kind::deletion) {
          const Entry gone{.path = at, .type = FileType::whiteout};
          emit(gone, -1, fd, item.name);
        } else if (item.kind == Item::Kind::entry) {
          compare(fd, lower, at, item, settled);
        } else {
          descend(fd, lower, at, item.name, complete, settled);
        }
      } catch (Error& error) {
        if (!error.message().starts_with('/')) error.prepend("/" + at);
        throw;
      }
    }
  }

  void upper_item(int fd, const LowerDirectory& lower, const std::string& path,
                  const std::string& name, std::vector<Item>& items) {
    if (options_.excluded_paths.contains(join_path(path, name))) return;
    Item item{.key = name, .name = name};
    if (::fstatat(fd, name.c_str(), &item.status, AT_SYMLINK_NOFOLLOW) != 0)
      throw SysError("/" + join_path(path, name));
    if (source_.overlay && is_whiteout(item.status)) {
      if (!look(lower, name)) return;
      item.kind = Item::Kind::deletion;
      item.key = std::string(whiteout_prefix) + name;
      items.push_back(std::move(item));
      return;
    }
    if (S_ISSOCK(item.status.st_mode)) {
      ++stats_.sockets;
      // What it replaced is gone all the same.
      const auto old = look(lower, name);
      if (!old || S_ISSOCK(old->status.st_mode)) return;
      item.kind = Item::Kind::deletion;
      item.key = std::string(whiteout_prefix) + name;
      items.push_back(std::move(item));
      return;
    }
    if (S_ISDIR(item.status.st_mode))
      items.push_back(
          {.key = name + "/", .kind = Item::Kind::content, .name = name, .status = item.status});
    items.push_back(std::move(item));
  }

  void deletions(const LowerDirectory& lower, const std::string& path,
                 const std::vector<std::string>& present, std::vector<Item>& items) {
    std::set<std::string> below;
    for (int fd : lower.fds)
      for (std::string& name : list_directory(fd)) below.insert(std::move(name));
    if (lower.indexed)
      for (std::string& name : source_.index->list(*lower.indexed)) below.insert(std::move(name));
    for (const std::string& name : below) {
      if (options_.excluded_paths.contains(join_path(path, name))) continue;
      if (std::ranges::binary_search(present, name)) continue;
      const auto old = look(lower, name);
      if (!old || S_ISSOCK(old->status.st_mode)) continue;
      items.push_back(
          {.key = std::string(whiteout_prefix) + name, .kind = Item::Kind::deletion, .name = name});
    }
  }

  void compare(int fd, const LowerDirectory& lower, const std::string& path, const Item& item,
               bool settled) {
    const struct stat& status = item.status;
    const bool file = S_ISREG(status.st_mode);
    const std::optional<Found> old = look(lower, item.name);
    const int64_t ctime = int64_t{status.st_ctim.tv_sec} * 1'000'000'000 + status.st_ctim.tv_nsec;
    const bool untouched = !source_.overlay && settled && ctime < source_.copied_at_ns;
    if (old && untouched && !S_ISDIR(status.st_mode)) return;
    const bool listed = listed_.contains(path);
    if (!old && !listed && options_.leading_directories.contains(path)) return;
    Fd content;
    if (file || S_ISDIR(status.st_mode)) {
      content = Fd(::openat(fd, item.name.c_str(), file ? file_flags : dir_flags));
      if (!content) throw SysError("open");
    }
    Entry entry = describe(fd, item.name, status, content.get(), true);
    entry.path = path;
    if (old && same(entry, content.get(), *old, item.name)) {
      if (!listed) return;
      // Only for what is in it: as the view below has it, however new that is.
      entry.mtime = old->indexed ? old->indexed->mtime : old->status.st_mtim.tv_sec;
      emit(entry, -1, fd, item.name);
      return;
    }
    if (file && status.st_nlink > 1) {
      const auto [first, fresh] =
          written_.try_emplace(std::pair(uint64_t{status.st_dev}, uint64_t{status.st_ino}), path);
      if (!fresh) {
        entry.type = FileType::hardlink;
        entry.link = first->second;
        entry.size = 0;
        send(entry, -1, fd, item.name);
        return;
      }
    }
    send(entry, file ? content.get() : -1, fd, item.name);
  }

  bool same(const Entry& entry, int content, const Found& old, const std::string& name) {
    if (old.indexed) return same_as_indexed(entry, content, *old.indexed);
    Entry before;
    if (!entry_from_stat(old.status, before) || before.type != entry.type) return false;
    const bool file = entry.type == FileType::file;
    Fd fd;
    if (file) {
      if (before.size != entry.size) return false;
      fd = Fd(::openat(old.holder, name.c_str(), file_flags));
      if (!fd) throw SysError("open lower file");
    }
    const int lower = file ? fd.get() : old.content.fds.empty() ? -1 : old.content.fds.front();
    before = describe(old.holder, name, old.status, lower, false);
    before.path = entry.path;
    Entry clamped = entry;
    clamp(clamped);
    if (metadata_differs(entry, before) && metadata_differs(clamped, before)) return false;
    return !file || same_content(content, lower);
  }

  bool same_as_indexed(const Entry& entry, int content, const IndexEntry& old) const {
    const Entry before{.path = entry.path,
                       .type = old.type,
                       .mode = old.mode,
                       .uid = old.uid,
                       .gid = old.gid,
                       .mtime = old.mtime,
                       .size = old.type == FileType::file ? old.size : 0,
                       .dev_major = entry.dev_major,
                       .dev_minor = entry.dev_minor,
                       .link = old.type == FileType::symlink ? old.link : "",
                       .xattrs = entry.xattrs};
    if (LayerIndex::attributes_of(entry) != old.attributes) return false;
    Entry clamped = entry;
    clamp(clamped);
    if (metadata_differs(entry, before) && metadata_differs(clamped, before)) return false;
    return entry.type != FileType::file || content_digest(content) == old.content_digest;
  }

  void descend(int fd, const LowerDirectory& lower, const std::string& path,
               const std::string& name, bool complete, bool settled) {
    const Fd below(::openat(fd, name.c_str(), dir_flags));
    if (!below) throw SysError("open directory");
    std::optional<Found> old = look(lower, name);
    const LowerDirectory nothing;
    const bool opaque = source_.overlay && has_mark(below.get(), "opaque", 'y');
    if (!source_.overlay && settled) {
      struct stat status {};
      const auto put = source_.copied_directories.find(path);
      settled = ::fstat(below.get(), &status) == 0 && put != source_.copied_directories.end() &&
                put->second == status.st_ino;
    }
    directory(below.get(), old ? old->content : nothing, path, complete || opaque, settled);
  }

  const ChangeSource& source_;
  const ChangeOptions& options_;
  const std::function<void(const Change&)>& emit_;
  ChangeStats stats_;
  std::set<std::string> listed_;
  std::map<std::pair<uint64_t, uint64_t>, std::string> written_;  // inode → first path
};

}  // namespace

ChangeStats find_changes(const ChangeSource& source, const ChangeOptions& options,
                         const std::function<void(const Change&)>& emit) {
  std::set<std::string> parents;
  if (options.list_parents) {
    // A directory comes before what is below it: which are needed takes a pass of its own.
    const std::function<void(const Change&)> note = [&](const Change& change) {
      for (std::string_view at = parent_path(change.entry.path); !at.empty(); at = parent_path(at))
        if (!parents.emplace(at).second) break;
    };
    Finder(source, options, note).run();
  }
  Finder finder(source, options, emit);
  finder.list(std::move(parents));
  return finder.run();
}

}  // namespace kiln
