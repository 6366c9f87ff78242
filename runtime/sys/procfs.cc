#include "runtime/sys/procfs.hh"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/mount_api.hh"

namespace vessel {

namespace {

constexpr ino_t procfs_root_inode = 1;
constexpr size_t largest_file = size_t{1} << 20;

bool is_procfs(int fd) {
  struct statfs fs {};
  return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

}  // namespace

ProcFs ProcFs::open_private() {
  FsContext context("proc");
  return ProcFs(context.mount(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC), true);
}

ProcFs ProcFs::adopt_host() {
  Fd root(::open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) throw SysError("open /proc");
  struct stat status {};
  if (!is_procfs(root.get()) || fstat(root.get(), &status) < 0 ||
      status.st_ino != procfs_root_inode)
    throw Error("/proc is not a proc file system");
  return ProcFs(std::move(root), false);
}

ProcFs ProcFs::open() {
  try {
    return open_private();
  } catch (const SysError& error) {
    // No privilege over the pid namespace, or (in a user namespace) no fully visible procfs yet.
    if (error.code() != EPERM && error.code() != ENOSYS && error.code() != EACCES) throw;
  }
  return adopt_host();
}

Fd ProcFs::open_file(std::string_view path, int flags) const {
  const std::string name(path);
  open_how how{};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC | O_NOFOLLOW);
  // "self" and "thread-self" are ordinary links inside procfs; anything mounted in between is not.
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;
  Fd file(static_cast<int>(syscall(SYS_openat2, root_.get(), name.c_str(), &how, sizeof how)));
  if (!file && (errno == ENOSYS || errno == EPERM) && private_) {
    // openat2 hidden by a filter: nobody else can mount over a private instance.
    file = Fd(openat(root_.get(), name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
  } else if (!file && errno == ENOSYS) {
    file = Fd(openat(root_.get(), name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
    if (file && !is_procfs(file.get())) throw Error("/proc/" + name + " is not in procfs");
  }
  if (!file) throw SysError("open /proc/" + name);
  return file;
}

std::string ProcFs::read(std::string_view path) const {
  return read_all(open_file(path, O_RDONLY), "/proc/" + std::string(path), largest_file);
}

void ProcFs::write(std::string_view path, std::string_view text) const {
  const Fd file = open_file(path, O_WRONLY);
  const ssize_t written = ::write(file.get(), text.data(), text.size());
  if (written < 0) throw SysError("write /proc/" + std::string(path));
  if (static_cast<size_t>(written) != text.size())
    throw Error("write /proc/" + std::string(path) + ": the kernel took only a part");
}

}  // namespace vessel
