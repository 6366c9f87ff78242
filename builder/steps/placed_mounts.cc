#include "builder/steps/placed_mounts.hh"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "builder/layer/tree.hh"
#include "builder/snapshot/copy_tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/overwrite.hh"
#include "builder/sys/resolve.hh"

namespace kiln {

namespace {

// Records of three texts, each ended by a NUL: "moved" PATH SOURCE, "file" PATH FILE_ID.
constexpr const char* journal_file = "placed";
constexpr std::string_view hidden_prefix = ".kiln-";
constexpr size_t journal_limit = size_t{1} << 20;

// Returns the copy, open for writing. `made` is called while it is still empty.
template <typename Made>
Fd copy_file(int from, const struct stat& status, int parent, const std::string& name,
             const Made& made) {
  Fd to(openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!to) throw SysError("create " + name);
  made(to.get());
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t n = read(from, buffer.data(), buffer.size());
    if (n < 0) throw SysError("read for " + name);
    if (n == 0) break;
    write_all(to.get(), std::string_view(buffer.data(), static_cast<size_t>(n)));
  }
  if (fchown(to.get(), status.st_uid, status.st_gid) != 0)
    throw SysError("change owner of " + name);
  if (fchmod(to.get(), status.st_mode & 07777) != 0) throw SysError("change mode of " + name);
  return to;
}

// Beside `target`, and in its place once it is whole.
void copy_directory_over(int from, const std::string& target) {
  const std::string fresh = target + ".new-" + random_name(),
                    old = target + ".old-" + random_name();
  try {
    if (mkdir(fresh.c_str(), 0700) != 0) throw SysError("make " + fresh);
    const Fd to(open(fresh.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!to) throw SysError("open " + fresh);
    copy_tree(from, to.get());
    if (rename(target.c_str(), old.c_str()) != 0 || rename(fresh.c_str(), target.c_str()) != 0)
      throw SysError("replace " + target);
  } catch (const Error&) {
    remove_tree_at(AT_FDCWD, fresh);
    throw;
  }
  remove_tree_at(AT_FDCWD, old);
}

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

std::string path_of(int fd) {
  std::array<char, 4096> buffer;
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = readlink(link.c_str(), buffer.data(), buffer.size());
  return n <= 0 ? "" : std::string(buffer.data(), static_cast<size_t>(n));
}

std::string path_in(int parent, const std::string& name) {
  const std::string path = path_of(parent);
  return (path == "/" ? "" : path) + "/" + name;
}

}  // namespace

PlacedMounts::Placed PlacedMounts::make_room(const std::string& destination) {
  InRootName at = open_parent_in_root(root_, destination);
  Placed placed;
  placed.parent = Fd(openat(at.parent.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  placed.name = at.name;
  if (!placed.parent || fstat(placed.parent.get(), &placed.before) != 0)
    throw SysError("open the parent of " + destination);
  const std::string hidden = std::string(hidden_prefix) + random_name();
  // Out of the command's sight, unless that is another filesystem.
  int failed = 0;
  for (const int where : {journal_, placed.parent.get()}) {
    failed = renameat(placed.parent.get(), placed.name.c_str(), where, hidden.c_str());
    if (failed == 0) {
      placed.hidden = hidden;
      placed.hidden_in = where;
    }
    if (failed == 0 || errno != EXDEV) break;
  }
  if (failed == 0) return placed;
  if (errno == EBUSY)
    throw Error(destination + " is a mount point of this container: nothing can be put there");
  else if (errno != ENOENT)
    throw SysError("make room for " + destination);
  return placed;
}

void PlacedMounts::settle(Placed placed) {
  if (fstat(placed.parent.get(), &placed.after) != 0) throw SysError("stat");
  placed_.push_back(std::move(placed));
}

void PlacedMounts::add(const oci::Mount& mount) {
  const std::string& destination = mount.destination;
  if (mount.type == "tmpfs" && destination != "/dev" && !destination.starts_with("/dev/")) {
    Placed placed = make_room(destination);
    if (mkdirat(placed.parent.get(), placed.name.c_str(), 0700) != 0 ||
        fchmodat(placed.parent.get(), placed.name.c_str(), 01777, 0) != 0)
      throw SysError("make " + destination);
    return settle(std::move(placed));
  }
  if (mount.type != "bind" || mount.source.starts_with("/sys")) return;
  const Fd source(open(mount.source.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!source && errno == ENXIO) {
    return place_socket(mount);
  }
  if (!source || fstat(source.get(), &status) != 0) throw SysError("open " + mount.source);
  const bool writable = std::ranges::find(mount.options, std::string("rw")) != mount.options.end();
  if (S_ISDIR(status.st_mode))
    place_directory(mount, source.get(), writable);
  else
    place_file(mount, source.get(), status);
}

void PlacedMounts::place_socket(const oci::Mount& mount) {
  struct stat status {};
  if (stat(mount.source.c_str(), &status) != 0) throw SysError("stat " + mount.source);
  Placed placed = make_room(mount.destination);
  try {
    placed.agent =
        std::make_unique<AgentForward>(placed.parent.get(), placed.name, mount.source,
                                       status.st_mode & 07777, status.st_uid, status.st_gid);
  } catch (...) {
    settle(std::move(placed));
    throw;
  }
  settle(std::move(placed));
}

void PlacedMounts::note(std::string_view kind, const std::string& a, const std::string& b) {
  std::string text = try_read_file_at(journal_, journal_file, journal_limit).value_or("");
  for (const std::string_view part : {kind, std::string_view(a), std::string_view(b)}) {
    text += part;
    text += '\0';
  }
  write_file_atomic(journal_, journal_file, text, 0600);
}

void PlacedMounts::place_file(const oci::Mount& mount, int source, const struct stat& status) {
  Placed placed = make_room(mount.destination);
  try {
    Fd copy = copy_file(source, status, placed.parent.get(), placed.name, [&](int made) {
      struct stat own {};
      if (fstat(made, &own) != 0) throw SysError("stat " + mount.destination);
      note("file", path_in(placed.parent.get(), placed.name),
           file_id_text({own.st_dev, own.st_ino}));
    });
    // Not open for writing while the command may execute it (execve(2), ETXTBSY).
    copy.reset();
    placed.file =
        Fd(openat(placed.parent.get(), placed.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  } catch (...) {
    settle(std::move(placed));
    throw;
  }
  settle(std::move(placed));
}

void PlacedMounts::place_directory(const oci::Mount& mount, int source, bool writable) {
  Placed placed = make_room(mount.destination);
  if (writable) {
    note("moved", path_in(placed.parent.get(), placed.name), mount.source);
    if (renameat(AT_FDCWD, mount.source.c_str(), placed.parent.get(), placed.name.c_str()) == 0)
      placed.moved_to = mount.source;
    else if (errno == EXDEV)
      placed.copied_to = mount.source;
    else
      throw SysError("move " + mount.source + " to " + mount.destination);
  }
  if (placed.moved_to.empty()) {
    if (mkdirat(placed.parent.get(), placed.name.c_str(), 0700) != 0)
      throw SysError("make " + mount.destination);
    copy_tree(source, open_dir_at(placed.parent.get(), placed.name).get());
  }
  settle(std::move(placed));
}

void PlacedMounts::add_devices() {
  struct Node {
    const char* name;
    unsigned major, minor;
  };
  for (const Node& node : {Node{"null", 1, 3}, Node{"zero", 1, 5}, Node{"full", 1, 7},
                           Node{"random", 1, 8}, Node{"urandom", 1, 9}, Node{"tty", 5, 0}}) {
    const std::string path = std::string("/dev/") + node.name;
    if (try_open_in_root(root_, path, O_PATH)) continue;
    const auto directory = try_open_in_root(root_, "/dev", O_RDONLY | O_DIRECTORY);
    if (!directory) return;
    Placed placed;
    placed.parent = Fd(openat(directory->get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    placed.name = node.name;
    if (!placed.parent || fstat(placed.parent.get(), &placed.before) != 0) return;
    if (mknodat(placed.parent.get(), node.name, S_IFCHR | 0666, makedev(node.major, node.minor)) !=
            0 ||
        fchmodat(placed.parent.get(), node.name, 0666, 0) != 0)
      return;
    settle(std::move(placed));
  }
}

void PlacedMounts::remove(Placed& placed) {
  const int parent = placed.parent.get();
  if (placed.file) {
    const std::string again = "/proc/self/fd/" + std::to_string(placed.file.get());
    const Fd writable(open(again.c_str(), O_WRONLY | O_CLOEXEC));
    struct stat own {
    }, there{};
    if (!writable || fstat(writable.get(), &own) != 0) throw SysError("open " + placed.name);
    overwrite_file(writable.get());
    const bool still = fstatat(parent, placed.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                       there.st_ino == own.st_ino;
    if (own.st_nlink > (still ? 1U : 0U)) left_files_.emplace(own.st_dev, own.st_ino);
  }
  if (!placed.copied_to.empty())
    if (const Fd from(
            openat(parent, placed.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        from)
      copy_directory_over(from.get(), placed.copied_to);
  // What the command put in the place of a cache does not become the cache.
  struct stat left {};
  const bool directory = fstatat(parent, placed.name.c_str(), &left, AT_SYMLINK_NOFOLLOW) == 0 &&
                         S_ISDIR(left.st_mode);
  if (placed.moved_to.empty() || !directory ||
      renameat(parent, placed.name.c_str(), AT_FDCWD, placed.moved_to.c_str()) != 0)
    remove_tree_at(parent, placed.name);
}

void PlacedMounts::undo() noexcept {
  for (; !placed_.empty(); placed_.pop_back()) {
    Placed& p = placed_.back();
    const int parent = p.parent.get();
    struct stat now {};
    const bool known = fstat(parent, &now) == 0;
    try {
      remove(p);
    } catch (const Error&) {
      if (!p.hidden.empty() || !known) continue;
    }
    if (!p.hidden.empty() && renameat(p.hidden_in, p.hidden.c_str(), parent, p.name.c_str()) != 0)
      continue;
    if (!known) continue;
    // Nobody but this has changed the directory: it is as it was before.
    const bool changed = !same_time(now.st_mtim, p.after.st_mtim);
    const timespec times[2] = {p.before.st_atim, changed ? now.st_mtim : p.before.st_mtim};
    futimens(parent, times);
  }
  unlinkat(journal_, journal_file, 0);
}

std::set<FileId> recover_placed_mounts(int journal) {
  const auto text = try_read_file_at(journal, journal_file, journal_limit);
  std::vector<std::string> parts;
  for (size_t at = 0; text && at < text->size();) {
    const size_t end = std::min(text->find('\0', at), text->size());
    parts.push_back(text->substr(at, end - at));
    at = end + 1;
  }
  std::set<FileId> lost;
  for (size_t i = 0; i + 2 < parts.size(); i += 3) {
    const std::string &kind = parts[i], &path = parts[i + 1], &other = parts[i + 2];
    if (kind == "moved") {
      // Only a directory, under the name it was given, and only to where nothing stands.
      const Fd moved(open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (moved && path_of(moved.get()) == path && access(other.c_str(), F_OK) != 0)
        rename(path.c_str(), other.c_str());
    } else if (const auto id = parse_file_id(other); kind == "file" && id) {
      const Fd file(open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      struct stat status {};
      const bool found = file && fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) &&
                         status.st_ino == id->second;
      if (found) {
        overwrite_file(file.get());
        unlink(path.c_str());
      }
      if (!found || status.st_nlink > 1) lost.insert(*id);
    }
  }
  unlinkat(journal, journal_file, 0);
  for (const std::string& name : list_directory(journal))
    if (name.starts_with(hidden_prefix)) remove_tree_at(journal, name);
  return lost;
}

}  // namespace kiln
