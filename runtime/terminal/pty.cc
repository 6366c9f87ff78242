#include "runtime/terminal/pty.hh"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "runtime/sys/error.hh"
#include "runtime/sys/resolve.hh"

namespace vessel {

namespace {

constexpr unsigned first_slave_major = 136, last_slave_major = 143;

void check_devpts(int fd, const char* what) {
  struct statfs fs {};
  if (fstatfs(fd, &fs) < 0) throw SysError(std::string("statfs ") + what);
  if (fs.f_type != DEVPTS_SUPER_MAGIC)
    throw Error(std::string(what) + " is not in a devpts file system");
}

dev_t character_device(int fd, const char* what) {
  struct stat status {};
  if (fstat(fd, &status) < 0) throw SysError(std::string("stat ") + what);
  if (!S_ISCHR(status.st_mode)) throw Error(std::string(what) + " is not a character device");
  return status.st_rdev;
}

unsigned short as_cells(uint32_t value) {
  return static_cast<unsigned short>(
      std::min<uint32_t>(value, std::numeric_limits<unsigned short>::max()));
}

}  // namespace

Pty open_pty(int root) {
  // Nothing but the kernel makes entries in a devpts, so checking the directory is enough for what
  // is opened under it; the image's own /dev/ptmx is never used.
  const Fd directory = resolve_in_root(root, "/dev/pts", O_PATH | O_DIRECTORY);
  check_devpts(directory.get(), "/dev/pts");
  Pty pty;
  pty.master = Fd(openat(directory.get(), "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC));
  if (!pty.master) throw SysError("open /dev/pts/ptmx");
  if (character_device(pty.master.get(), "/dev/pts/ptmx") != makedev(5, 2))
    throw Error("/dev/pts/ptmx is not the pty multiplexer");

  int locked = 0;
  if (ioctl(pty.master.get(), TIOCSPTLCK, &locked) < 0) throw SysError("unlock the terminal");
  pty.slave = Fd(ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.slave) throw SysError("open the terminal");
  check_devpts(pty.slave.get(), "the terminal");
  const unsigned slave_major = major(character_device(pty.slave.get(), "the terminal"));
  if (slave_major < first_slave_major || slave_major > last_slave_major)
    throw Error("the terminal is not a pty");
  return pty;
}

void set_terminal_size(int terminal, const oci::Box& size) {
  winsize window{};
  window.ws_row = as_cells(size.height);
  window.ws_col = as_cells(size.width);
  if (ioctl(terminal, TIOCSWINSZ, &window) < 0) throw SysError("set the terminal's size");
}

void adopt_terminal(int slave, uint32_t uid) {
  // EPERM: already the leader of a session (init of a foreground run).
  if (setsid() < 0 && errno != EPERM) throw SysError("setsid");
  if (ioctl(slave, TIOCSCTTY, 0) < 0) throw SysError("make the terminal the controlling one");
  for (int standard = 0; standard <= 2; ++standard)
    if (dup2(slave, standard) < 0) throw SysError("dup2 the terminal");
  // EINVAL: not mapped in this user namespace. EPERM: no privilege over the devpts.
  if (fchown(slave, uid, static_cast<gid_t>(-1)) < 0 && errno != EINVAL && errno != EPERM)
    throw SysError("chown the terminal");
}

}  // namespace vessel
