// Owns: handing descriptors to another process over a Unix socket (unix(7), SCM_RIGHTS).
// Does not own: sockets, or what a message means.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "builder/sys/fd.hh"

namespace kiln {

// One message of `text`, not empty, and at most eight descriptors, which stay open here. Throws
// SysError.
void send_descriptors(int socket, std::string_view text, std::span<const int> descriptors);

struct ReceivedDescriptors {
  std::string text;
  std::vector<Fd> descriptors;  // close-on-exec
};
// Waits for a message; what is longer than `limit` bytes is cut. nullopt: the other side is gone,
// or it took longer than the socket's SO_RCVTIMEO.
std::optional<ReceivedDescriptors> receive_descriptors(int socket, size_t limit);

}  // namespace kiln
