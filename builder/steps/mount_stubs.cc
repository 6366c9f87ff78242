#include "builder/steps/mount_stubs.hh"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "builder/sys/error.hh"
#include "builder/sys/resolve.hh"

namespace kiln {

namespace {

// Where a descriptor below `root` is, as the kernel names it; both names come from the same place,
// so the difference is the path inside.
std::string inside(int root, int fd) {
  const auto name_of = [](int which) {
    std::array<char, 4096> buffer;
    const std::string link = "/proc/self/fd/" + std::to_string(which);
    const ssize_t n = readlink(link.c_str(), buffer.data(), buffer.size());
    if (n < 0) throw SysError("readlink " + link);
    return std::string(buffer.data(), static_cast<size_t>(n));
  };
  const std::string top = name_of(root), path = name_of(fd);
  if (path == top) return "/";
  if (top == "/") return path;  // in place
  if (!path.starts_with(top + "/")) throw Error("mount point " + path + " left its root");
  return path.substr(top.size());
}

Error not_made(const std::string& path) {
  // Nothing was found there, so what exists is a link, and where it leads there is nothing.
  if (errno == EEXIST)
    return Error("mount point " + path + " is a link in the image that leads nowhere in it");
  return SysError("make mount point " + path);
}

}  // namespace

MountStubs::~MountStubs() {
  remove();
}

std::string MountStubs::need(std::string_view path, bool directory) {
  if (const auto found = try_open_in_root(root_, path, O_PATH)) {
    struct stat s {};
    if (fstat(found->get(), &s) != 0) throw SysError("stat " + std::string(path));
    if (S_ISDIR(s.st_mode) != directory)
      throw Error("mount point " + std::string(path) + " is " +
                  (directory ? "a file in the image, a directory is needed"
                             : "a directory in the image, a file is needed"));
    return inside(root_, found->get());
  }
  Fd at = open_in_root(root_, "/", O_PATH | O_DIRECTORY);
  std::string walked;
  const std::vector<std::string_view> parts = clean_components(path);
  for (size_t i = 0; i < parts.size(); ++i) {
    walked += '/';
    walked += parts[i];
    const bool last = i + 1 == parts.size();
    if (auto next = try_open_in_root(root_, walked, O_PATH | O_DIRECTORY)) {
      at = std::move(*next);
      continue;
    }
    Stub stub;
    struct stat s {};
    if (fstat(at.get(), &s) != 0) throw SysError("stat in root");
    stub.parent_atime = s.st_atim;
    stub.parent_mtime = s.st_mtim;
    stub.parent = Fd(openat(at.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!stub.parent) throw SysError("open parent of " + walked);
    stub.name = parts[i];
    stub.directory = !last || directory;
    Fd made;
    if (stub.directory) {
      if (mkdirat(stub.parent.get(), stub.name.c_str(), 0755) != 0) throw not_made(walked);
      made = Fd(openat(stub.parent.get(), stub.name.c_str(),
                       O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    } else {
      made = Fd(openat(stub.parent.get(), stub.name.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    }
    if (!made || fstat(made.get(), &s) != 0) throw not_made(walked);
    stub.device = s.st_dev;
    stub.inode = s.st_ino;
    struct stat with_stub {};
    if (fstat(stub.parent.get(), &with_stub) != 0) throw SysError("stat parent of " + walked);
    stub.parent_with_stub = with_stub.st_mtim;
    stubs_.push_back(std::move(stub));
    at = std::move(made);
    // From here on the real path is known only through the descriptor.
    walked = inside(root_, at.get());
  }
  return inside(root_, at.get());
}

void MountStubs::remove() noexcept {
  for (; !stubs_.empty(); stubs_.pop_back()) {
    const Stub& stub = stubs_.back();
    struct stat s {};
    if (fstatat(stub.parent.get(), stub.name.c_str(), &s, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (s.st_dev != stub.device || s.st_ino != stub.inode) continue;
    if (!stub.directory && s.st_size != 0) continue;
    struct stat parent {};
    if (fstat(stub.parent.get(), &parent) != 0) continue;
    if (unlinkat(stub.parent.get(), stub.name.c_str(), stub.directory ? AT_REMOVEDIR : 0) != 0)
      continue;
    // Stubs go in the reverse of their order, so the directory has either the time that this one's
    // coming gave it, or one that the step gave it.
    const std::array<timespec, 2> times = {stub.parent_atime, stub.parent_mtime};
    const bool changed = parent.st_mtim.tv_sec != stub.parent_with_stub.tv_sec ||
                         parent.st_mtim.tv_nsec != stub.parent_with_stub.tv_nsec;
    const std::array<timespec, 2> kept = {parent.st_atim, parent.st_mtim};
    futimens(stub.parent.get(), changed ? kept.data() : times.data());
  }
}

}  // namespace kiln
