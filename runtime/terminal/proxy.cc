#include "runtime/terminal/proxy.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

// A pipe that poll(2) calls writable takes this much without blocking; the caller's stdout is not
// ours to make non-blocking.
constexpr size_t most_written_at_once = 4096;

}  // namespace

TerminalProxy::TerminalProxy(Fd master) : master_(std::move(master)) {
  const int flags = fcntl(master_.get(), F_GETFL);
  if (flags < 0 || fcntl(master_.get(), F_SETFL, flags | O_NONBLOCK) < 0)
    throw SysError("make the terminal non-blocking");
  termios now{};
  if (tcgetattr(STDIN_FILENO, &now) == 0) {
    saved_ = now;
    cfmakeraw(&now);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &now) < 0) throw SysError("set the terminal to raw mode");
    resize();
  }
}

TerminalProxy::~TerminalProxy() {
  if (saved_) tcsetattr(STDIN_FILENO, TCSANOW, &*saved_);
}

void TerminalProxy::resize() {
  winsize window{};
  if (ioctl(STDIN_FILENO, TIOCGWINSZ, &window) == 0) ioctl(master_.get(), TIOCSWINSZ, &window);
}

int TerminalProxy::poll_entries(PollEntry (&entries)[3]) const {
  int count = 0;
  if (!master_gone_) {
    short events = 0;
    if (to_stdout_.empty()) events |= POLLIN;
    if (!to_master_.empty()) events |= POLLOUT;
    // With nothing to wait for even a hang-up would wake the loop for ever.
    if (events != 0) entries[count++] = {master_.get(), events};
    if (!stdin_gone_ && to_master_.empty()) entries[count++] = {STDIN_FILENO, POLLIN};
  }
  if (!stdout_gone_ && !to_stdout_.empty()) entries[count++] = {STDOUT_FILENO, POLLOUT};
  return count;
}

void TerminalProxy::read_into(Buffer& buffer, int from, bool& gone) {
  const ssize_t got = read(from, buffer.data, sizeof buffer.data);
  if (got > 0) {
    buffer.begin = 0;
    buffer.end = static_cast<size_t>(got);
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    gone = true;  // EIO: the last descriptor of the slave was closed
  }
}

void TerminalProxy::write_from(Buffer& buffer, int to, bool& gone) {
  const size_t length = std::min(buffer.end - buffer.begin, most_written_at_once);
  const ssize_t written = write(to, buffer.data + buffer.begin, length);
  if (written >= 0) {
    buffer.begin += static_cast<size_t>(written);
  } else if (errno != EAGAIN && errno != EINTR) {
    gone = true;
    buffer.begin = buffer.end;
  }
}

void TerminalProxy::on_ready(int fd, short revents) {
  constexpr short readable = POLLIN | POLLHUP | POLLERR;
  if (fd == master_.get()) {
    if ((revents & readable) && to_stdout_.empty()) read_into(to_stdout_, fd, master_gone_);
    if ((revents & POLLOUT) && !to_master_.empty()) write_from(to_master_, fd, master_gone_);
  } else if (fd == STDIN_FILENO) {
    if ((revents & (readable | POLLNVAL)) && to_master_.empty())
      read_into(to_master_, fd, stdin_gone_);
  } else if (fd == STDOUT_FILENO && !to_stdout_.empty()) {
    write_from(to_stdout_, fd, stdout_gone_);
  }
  // Nobody reads any more: what the container writes is taken and dropped, so that it can end.
  if (stdout_gone_) to_stdout_.begin = to_stdout_.end;
}

void TerminalProxy::drain() {
  for (;;) {
    while (!to_stdout_.empty() && !stdout_gone_) {
      pollfd wait{STDOUT_FILENO, POLLOUT, 0};
      if (poll(&wait, 1, -1) > 0) write_from(to_stdout_, STDOUT_FILENO, stdout_gone_);
    }
    if (master_gone_ || stdout_gone_) return;
    read_into(to_stdout_, master_.get(), master_gone_);
    if (to_stdout_.empty()) return;
  }
}

}  // namespace vessel
