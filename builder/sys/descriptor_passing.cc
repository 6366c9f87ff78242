#include "builder/sys/descriptor_passing.hh"

#include <sys/socket.h>

#include <array>
#include <cstring>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

constexpr size_t most = 8;

}  // namespace

void send_descriptors(int socket, std::string_view text, std::span<const int> descriptors) {
  if (descriptors.empty() || descriptors.size() > most)
    throw Error("cannot hand over " + std::to_string(descriptors.size()) + " descriptors at once");
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(descriptors.size_bytes());
  memcpy(CMSG_DATA(head), descriptors.data(), descriptors.size_bytes());
  if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) throw SysError("hand over descriptors");
}

std::optional<ReceivedDescriptors> receive_descriptors(int socket, size_t limit) {
  ReceivedDescriptors received;
  received.text.resize(limit);
  iovec part{received.text.data(), received.text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n = 0;
  do n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n <= 0) return std::nullopt;
  received.text.resize(static_cast<size_t>(n));
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    std::vector<int> numbers((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(numbers.data(), CMSG_DATA(c), numbers.size() * sizeof(int));
    for (const int fd : numbers) received.descriptors.emplace_back(fd);
  }
  return received;
}

}  // namespace kiln
