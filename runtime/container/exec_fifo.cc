#include "runtime/container/exec_fifo.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

constexpr int one_page = 4096;

void fill(int fd) {
  // The kernel rounds up to the page size, which the answer tells.
  int size = ::fcntl(fd, F_SETPIPE_SZ, one_page);
  if (size < 0) throw SysError("set the size of the exec fifo");
  write_all(fd, std::string(static_cast<size_t>(size), '\0'), "exec fifo");
}

}  // namespace

Fd make_exec_fifo(int state_dir) {
  // Only the caller opens it; 0622 as runc's would let the container's user reopen it.
  if (::mkfifoat(state_dir, exec_fifo_name, 0600) < 0) throw SysError("mkfifo exec.fifo");
  // Both directions: the open does not wait for a reader, and the reader sees the end of file when
  // this one descriptor is closed.
  Fd fd = open_file(state_dir, exec_fifo_name, O_RDWR | O_NOFOLLOW);
  fill(fd.get());
  return fd;
}

Gate make_gate() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) throw SysError("pipe2");
  Gate gate{Fd(fds[1]), Fd(fds[0])};
  fill(gate.waiting.get());
  return gate;
}

void wait_at_gate(int gate) noexcept {
  const char byte = 's';
  while (::write(gate, &byte, 1) < 0)
    if (errno != EINTR) ::_exit(1);
}

void tell_gate(int gate, std::string_view error) noexcept {
  [[maybe_unused]] ssize_t ignored = ::write(gate, error.data(), error.size());
}

Fd open_exec_fifo(int state_dir) {
  Fd fd = try_open_file(state_dir, exec_fifo_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!fd && errno != ENOENT) throw SysError("open exec.fifo");
  return fd;
}

bool open_gate(const Fd& gate) {
  // What fills it is one page, so one read takes it; the waiting byte follows at once or later.
  int capacity = ::fcntl(gate.get(), F_GETPIPE_SZ);
  if (capacity < 0) throw SysError("get the size of the exec fifo");
  const size_t full = static_cast<size_t>(capacity);
  std::string filling(full, '\0');
  size_t got = 0;
  for (;;) {
    ssize_t n = ::read(gate.get(), filling.data(), full - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return got > 0;
    if (n < 0) throw SysError("read exec.fifo");
    if (n == 0) return got > 0;
    got += static_cast<size_t>(n);
    if (got == full) return true;
  }
}

std::string wait_for_exec(const Fd& gate, const Fd& pidfd) {
  std::string text;
  for (;;) {
    pollfd p[2] = {{gate.get(), POLLIN, 0}, {pidfd.get(), POLLIN, 0}};
    if (::poll(p, pidfd ? 2 : 1, -1) < 0) {
      if (errno == EINTR) continue;
      throw SysError("poll exec.fifo");
    }
    bool gone = pidfd && (p[1].revents & POLLIN);
    for (;;) {
      char buffer[512];
      ssize_t n = ::read(gate.get(), buffer, sizeof buffer);
      if (n > 0) {
        text.append(buffer, static_cast<size_t>(n));
        continue;
      }
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN && !gone) break;  // still before its execve
      // The first byte is the one that waited at the gate; what filled a larger page may precede.
      size_t begin = text.find_first_not_of('\0');
      return begin == std::string::npos ? "" : text.substr(begin + 1);
    }
  }
}

}  // namespace vessel
