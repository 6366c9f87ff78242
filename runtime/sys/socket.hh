// Owns: unix sockets: a pair of them, messages with descriptors, connecting to a path.
// Does not own: what the messages mean (launch/protocol.hh).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/sys/fd.hh"

namespace vessel {

// Two connected SOCK_SEQPACKET sockets: messages keep their borders. Throws SysError.
std::pair<Fd, Fd> make_socket_pair();

// One message with descriptors (SCM_RIGHTS, at most 16). False when the peer is gone (EPIPE,
// ECONNRESET); no SIGPIPE. Throws SysError otherwise.
bool send_message(int socket, std::string_view bytes, const std::vector<int>& fds = {});

struct Message {
  std::string bytes;
  std::vector<Fd> fds;  // close-on-exec
  bool end = false;     // the peer closed its side
};

inline constexpr size_t longest_message = size_t{64} * 1024;

// Waits for one message of at most `limit` bytes; a longer one is an error. Not for two threads at
// a time. Throws SysError.
Message receive_message(int socket, size_t limit = longest_message);

// Connects to a stream socket at `path` (longer than 107 bytes too, through its directory) and
// sends one descriptor with `name` as the data: --console-socket, --pidfd-socket. Throws SysError.
void send_fd_to_path(const std::string& path, std::string_view name, int fd);

}  // namespace vessel
