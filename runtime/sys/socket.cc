#include "runtime/sys/socket.hh"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

constexpr size_t max_fds = 16;

}  // namespace

std::pair<Fd, Fd> make_socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
    throw SysError("socketpair");
  return {Fd(fds[0]), Fd(fds[1])};
}

bool send_message(int socket, std::string_view bytes, const std::vector<int>& fds) {
  if (fds.size() > max_fds) throw SysError("sendmsg", E2BIG);
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_fds)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET) return false;
    throw SysError("sendmsg");
  }
  return true;
}

Message receive_message(int socket, size_t limit) {
  Message result;
  // Most are a few bytes: what makes room for a longer one is memory that is not touched then.
  char start[256];
  static char rest[longest_message];
  limit = std::min(limit, longest_message);
  const size_t in_start = std::min(limit, sizeof start);
  iovec parts[] = {{start, in_start}, {rest, limit - in_start}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * max_fds)];
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno != ECONNRESET) throw SysError("recvmsg");
  for (cmsghdr* h = got < 0 ? nullptr : CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
      result.fds.emplace_back(fd);
    }
  }
  if (got > 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
    throw SysError("recvmsg", EMSGSIZE);
  result.end = got <= 0;
  if (got <= 0) return result;
  const auto length = static_cast<size_t>(got);
  result.bytes.reserve(length);
  result.bytes.assign(start, std::min(length, in_start));
  if (length > in_start) result.bytes.append(rest, length - in_start);
  return result;
}

void send_fd_to_path(const std::string& path, std::string_view name, int fd) {
  std::string address_path = path;
  Fd directory;
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    size_t slash = path.rfind('/');
    if (slash == std::string::npos) throw SysError("connect to " + path, ENAMETOOLONG);
    directory = open_file(AT_FDCWD, path.substr(0, slash + 1), O_PATH | O_DIRECTORY);
    address_path =
        "/proc/self/fd/" + std::to_string(directory.get()) + "/" + path.substr(slash + 1);
    if (address_path.size() >= sizeof(sockaddr_un::sun_path))
      throw SysError("connect to " + path, ENAMETOOLONG);
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, address_path.c_str(), address_path.size() + 1);
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw SysError("socket");
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    throw SysError("connect to " + path);
  if (!send_message(socket.get(), name, {fd})) throw SysError("send to " + path, EPIPE);
}

}  // namespace vessel
