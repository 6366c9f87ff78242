#include "builder/steps/chroot_mounts.hh"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "builder/snapshot/copy_tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/resolve.hh"

namespace kiln {

namespace {

constexpr const char* journal_file = "moved";

void copy_file(int from, const struct stat& status, int parent, const std::string& name) {
  const Fd to(
      openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!to) throw SysError("create " + name);
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

}  // namespace

ChrootMounts::Placed ChrootMounts::make_room(const std::string& destination) {
  InRootName at = open_parent_in_root(root_, destination);
  Placed placed;
  placed.parent = Fd(openat(at.parent.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  placed.name = at.name;
  if (!placed.parent || fstat(placed.parent.get(), &placed.before) != 0)
    throw SysError("open the parent of " + destination);
  const std::string hidden = ".kiln-" + random_name();
  if (renameat(placed.parent.get(), placed.name.c_str(), placed.parent.get(), hidden.c_str()) == 0)
    placed.hidden = hidden;
  else if (errno != ENOENT)
    throw SysError("make room for " + destination);
  return placed;
}

void ChrootMounts::settle(Placed placed) {
  if (fstat(placed.parent.get(), &placed.after) != 0) throw SysError("stat");
  placed_.push_back(std::move(placed));
}

void ChrootMounts::add(const oci::Mount& mount) {
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
  if (!source && errno == ENXIO)
    throw Error(destination + ": a socket (RUN --mount=type=ssh) cannot be had without mounts");
  if (!source || fstat(source.get(), &status) != 0) throw SysError("open " + mount.source);
  const bool writable = std::ranges::find(mount.options, std::string("rw")) != mount.options.end();
  if (!S_ISDIR(status.st_mode)) {
    Placed placed = make_room(destination);
    try {
      copy_file(source.get(), status, placed.parent.get(), placed.name);
    } catch (...) {
      settle(std::move(placed));
      throw;
    }
    return settle(std::move(placed));
  }
  Placed placed = make_room(destination);
  if (writable) {
    write_file_atomic(journal_, journal_file,
                      try_read_file_at(journal_, journal_file, size_t{1} << 20).value_or("") +
                          path_of(placed.parent.get()) + "/" + placed.name + '\n' + mount.source +
                          '\n');
    if (renameat(AT_FDCWD, mount.source.c_str(), placed.parent.get(), placed.name.c_str()) == 0)
      placed.moved_to = mount.source;
    else if (errno != EXDEV)
      throw SysError("move " + mount.source + " to " + destination);
  }
  if (placed.moved_to.empty()) {
    if (mkdirat(placed.parent.get(), placed.name.c_str(), 0700) != 0)
      throw SysError("make " + destination);
    copy_tree(source.get(), open_dir_at(placed.parent.get(), placed.name).get());
  }
  settle(std::move(placed));
}

void ChrootMounts::add_devices() {
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

void ChrootMounts::undo() noexcept {
  for (; !placed_.empty(); placed_.pop_back()) {
    const Placed& p = placed_.back();
    const int parent = p.parent.get();
    struct stat now {};
    const bool known = fstat(parent, &now) == 0;
    try {
      // What the command put in the place of a cache does not become the cache.
      struct stat there {};
      const bool directory = fstatat(parent, p.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                             S_ISDIR(there.st_mode);
      if (p.moved_to.empty() || !directory)
        remove_tree_at(parent, p.name);
      else if (renameat(parent, p.name.c_str(), AT_FDCWD, p.moved_to.c_str()) != 0)
        remove_tree_at(parent, p.name);
    } catch (const Error&) {
      if (!p.hidden.empty() || !known) continue;
    }
    if (!p.hidden.empty() && renameat(parent, p.hidden.c_str(), parent, p.name.c_str()) != 0)
      continue;
    if (!known) continue;
    // Nobody but this has changed the directory: it is as it was before.
    const bool changed = !same_time(now.st_mtim, p.after.st_mtim);
    const timespec times[2] = {p.before.st_atim, changed ? now.st_mtim : p.before.st_mtim};
    futimens(parent, times);
  }
  unlinkat(journal_, journal_file, 0);
}

void recover_chroot_mounts(int journal) {
  const auto text = try_read_file_at(journal, journal_file, size_t{1} << 20);
  std::vector<std::string> lines;
  for (size_t at = 0; text && at < text->size();) {
    const size_t end = std::min(text->find('\n', at), text->size());
    lines.push_back(text->substr(at, end - at));
    at = end + 1;
  }
  // Only a directory, under the name it was given, and only to where nothing stands.
  for (size_t i = 0; i + 1 < lines.size(); i += 2) {
    const Fd moved(open(lines[i].c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (moved && path_of(moved.get()) == lines[i] && access(lines[i + 1].c_str(), F_OK) != 0)
      rename(lines[i].c_str(), lines[i + 1].c_str());
  }
}

}  // namespace kiln
