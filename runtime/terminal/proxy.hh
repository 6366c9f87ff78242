// Owns: the caller's own terminal while a container with a terminal runs in the foreground.
// Does not own: the container's process or its exit status.
#pragma once

#include <termios.h>

#include <cstddef>
#include <optional>

#include "runtime/sys/fd.hh"

namespace vessel {

// Copies between the caller's stdin/stdout and the container's master. The caller's terminal (if
// stdin is one) is in raw mode from construction to destruction, whatever happens in between; the
// container's window follows the caller's.
//
// Meant for an event loop: poll fds() and call on_ready() for what is ready; SIGWINCH arrives by
// whatever the loop uses, it then calls resize().
class TerminalProxy {
 public:
  explicit TerminalProxy(Fd master);
  ~TerminalProxy();
  TerminalProxy(const TerminalProxy&) = delete;
  TerminalProxy& operator=(const TerminalProxy&) = delete;

  struct PollEntry {
    int fd;
    short events;
  };
  // Fills in what to poll for now and returns how many; bounded buffers give back-pressure in both
  // directions.
  int poll_entries(PollEntry (&entries)[3]) const;
  // `revents` as poll(2) gave them, for the entry with that fd.
  void on_ready(int fd, short revents);
  // Takes over the size of the caller's terminal.
  void resize();
  // The other side hung up and everything it wrote was passed on.
  bool finished() const { return master_gone_ && to_stdout_.empty(); }
  // After the container's process is gone: passes on what is left to read, without waiting for
  // writers that are still there.
  void drain();

 private:
  struct Buffer {
    char data[16384];
    size_t begin = 0, end = 0;
    bool empty() const { return begin == end; }
  };
  void read_into(Buffer& buffer, int from, bool& gone);
  void write_from(Buffer& buffer, int to, bool& gone);

  Fd master_;
  std::optional<termios> saved_;
  Buffer to_master_, to_stdout_;
  bool stdin_gone_ = false, stdout_gone_ = false, master_gone_ = false;
};

}  // namespace vessel
