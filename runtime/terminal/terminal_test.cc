#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "runtime/sys/error.hh"
#include "runtime/terminal/proxy.hh"
#include "runtime/terminal/pty.hh"

namespace {

using vessel::Fd;

// A pty of the host's own: no privilege is needed for it.
struct HostPty {
  Fd master, slave;
};

HostPty open_host_pty() {
  HostPty pty;
  pty.master = Fd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  int unlock = 0;
  if (!pty.master || ioctl(pty.master.get(), TIOCSPTLCK, &unlock) < 0) return {};
  pty.slave = Fd(ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  return pty;
}

// Puts `fd` in the place of a standard descriptor for as long as it lives.
class Replaced {
 public:
  Replaced(int standard, int fd)
      : standard_(standard), kept_(fcntl(standard, F_DUPFD_CLOEXEC, 10)) {
    dup2(fd, standard_);
  }
  ~Replaced() { dup2(kept_.get(), standard_); }

 private:
  int standard_;
  Fd kept_;
};

std::string read_some(int fd) {
  char text[4096];
  pollfd wait{fd, POLLIN, 0};
  if (poll(&wait, 1, 2000) <= 0) return "";
  const ssize_t got = read(fd, text, sizeof text);
  return got > 0 ? std::string(text, static_cast<size_t>(got)) : "";
}

void run_once(vessel::TerminalProxy& proxy) {
  vessel::TerminalProxy::PollEntry entries[3];
  pollfd polled[3];
  const int count = proxy.poll_entries(entries);
  for (int i = 0; i < count; ++i) polled[i] = {entries[i].fd, entries[i].events, 0};
  if (poll(polled, static_cast<nfds_t>(count), 2000) <= 0) return;
  for (int i = 0; i < count; ++i)
    if (polled[i].revents) proxy.on_ready(polled[i].fd, polled[i].revents);
}

}  // namespace

TEST_CASE("the proxy is raw while it lives, follows the size, and restores the terminal") {
  HostPty caller = open_host_pty(), container = open_host_pty();
  if (!caller.slave || !container.slave) return;  // no devpts here
  const winsize window{33, 101, 0, 0};
  REQUIRE(ioctl(caller.slave.get(), TIOCSWINSZ, &window) == 0);
  termios before{};
  REQUIRE(tcgetattr(caller.slave.get(), &before) == 0);
  REQUIRE((before.c_lflag & ECHO) != 0);
  {
    const Replaced in(STDIN_FILENO, caller.slave.get());
    const Replaced out(STDOUT_FILENO, caller.slave.get());
    vessel::TerminalProxy proxy(std::move(container.master));
    termios now{};
    CHECK(tcgetattr(caller.slave.get(), &now) == 0);
    CHECK((now.c_lflag & (ECHO | ICANON | ISIG)) == 0);

    winsize inside{};
    CHECK(ioctl(container.slave.get(), TIOCGWINSZ, &inside) == 0);
    CHECK(inside.ws_row == 33);
    CHECK(inside.ws_col == 101);
    const winsize larger{50, 120, 0, 0};
    CHECK(ioctl(caller.slave.get(), TIOCSWINSZ, &larger) == 0);
    proxy.resize();
    CHECK(ioctl(container.slave.get(), TIOCGWINSZ, &inside) == 0);
    CHECK(inside.ws_col == 120);

    CHECK(write(container.slave.get(), "out\n", 4) == 4);
    run_once(proxy);
    run_once(proxy);
    CHECK(read_some(caller.master.get()) == "out\r\n");

    CHECK(write(caller.master.get(), "typed\r", 6) == 6);
    run_once(proxy);
    run_once(proxy);
    CHECK(read_some(container.slave.get()) == "typed\n");

    CHECK(!proxy.finished());
    CHECK(write(container.slave.get(), "last", 4) == 4);
    container.slave.reset();
    for (int i = 0; i < 20 && !proxy.finished(); ++i) run_once(proxy);
    CHECK(proxy.finished());
  }
  termios after{};
  CHECK(tcgetattr(caller.slave.get(), &after) == 0);
  CHECK(after.c_lflag == before.c_lflag);
  CHECK(after.c_oflag == before.c_oflag);
  CHECK(after.c_iflag == before.c_iflag);
}

TEST_CASE("drain passes on what is left and does not wait for writers that stay") {
  HostPty container = open_host_pty();
  if (!container.slave) return;
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  const Fd reader(ends[0]), writer(ends[1]);
  const Fd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  {
    const Replaced in(STDIN_FILENO, nothing.get());
    const Replaced out(STDOUT_FILENO, writer.get());
    vessel::TerminalProxy proxy(std::move(container.master));
    CHECK(write(container.slave.get(), "tail", 4) == 4);
    proxy.drain();
  }
  CHECK(read_some(reader.get()) == "tail");
}

TEST_CASE("a root without a devpts gives a clear error instead of the host's terminal") {
  char root[] = "/tmp/vessel-pty-XXXXXX";
  REQUIRE(mkdtemp(root) != nullptr);
  const std::string base = root;
  REQUIRE(mkdir((base + "/dev").c_str(), 0755) == 0);
  REQUIRE(symlink("/dev/pts", (base + "/dev/pts").c_str()) == 0);
  const Fd fd(open(root, O_PATH | O_DIRECTORY | O_CLOEXEC));
  CHECK_THROWS_AS(vessel::open_pty(fd.get()), vessel::SysError);  // the link leads to itself
  unlink((base + "/dev/pts").c_str());
  REQUIRE(mkdir((base + "/dev/pts").c_str(), 0755) == 0);
  CHECK_THROWS_WITH_AS(vessel::open_pty(fd.get()), "/dev/pts is not in a devpts file system",
                       vessel::Error);
  rmdir((base + "/dev/pts").c_str());
  rmdir((base + "/dev").c_str());
  rmdir(root);
}
