#include "runtime/cgroup/dbus_connection.hh"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "runtime/cgroup/files.hh"

namespace vessel {

namespace {

constexpr int64_t patience_ms = 30'000;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Values in addresses write other bytes as %XX.
std::string unescape_address(std::string_view value) {
  std::string plain;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '%' && i + 2 < value.size() && hex_digit(value[i + 1]) >= 0 &&
        hex_digit(value[i + 2]) >= 0) {
      plain += static_cast<char>(hex_digit(value[i + 1]) * 16 + hex_digit(value[i + 2]));
      i += 2;
    } else {
      plain += value[i];
    }
  }
  return plain;
}

// Returns the errno, 0 when `out` is connected.
int connect_to(std::string_view address, Fd& out) {
  if (!address.starts_with("unix:")) return EPROTONOSUPPORT;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::string path;
  for (std::string_view pair : split(address.substr(5), ",")) {
    if (pair.starts_with("path=")) path = unescape_address(pair.substr(5));
    if (pair.starts_with("abstract="))
      path = std::string(1, '\0') + unescape_address(pair.substr(9));
  }
  if (path.empty()) return EINVAL;
  if (path.size() >= sizeof name.sun_path) return ENAMETOOLONG;
  std::memcpy(name.sun_path, path.data(), path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return errno;
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                     (path[0] != '\0' ? 1 : 0));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&name), size) < 0) return errno;
  out = std::move(socket);
  return 0;
}

}  // namespace

DbusConnection::DbusConnection(std::string_view list, uint32_t uid, bool peer) : peer_(peer) {
  int error = EINVAL;
  for (std::string_view address : split(list, ";"))
    if ((error = connect_to(address, socket_)) == 0) break;
  if (error) throw SysError("connect to " + std::string(list), error);
  Deadline deadline(patience_ms);
  try {
    authenticate(uid, deadline);
    if (!peer_) {
      DbusMessage hello;
      hello.path = "/org/freedesktop/DBus";
      hello.interface = hello.destination = "org.freedesktop.DBus";
      hello.member = "Hello";
      call(std::move(hello));
    }
  } catch (Error& failed) {
    failed.prepend(std::string(list));
    throw;
  }
}

void DbusConnection::authenticate(uint32_t uid, const Deadline& deadline) {
  // The leading NUL carries the credentials; the id follows as hex of its decimal digits.
  std::string hello("\0AUTH EXTERNAL ", 15);
  for (char digit : std::to_string(uid)) (hello += '3') += digit;
  send(hello + "\r\n", deadline);
  size_t end;
  while ((end = input_.find("\r\n")) == std::string::npos) {
    if (input_.size() > 4096) throw Error("authentication: unexpected answer");
    receive(deadline);
  }
  if (!input_.starts_with("OK "))
    throw Error("authentication as user " + std::to_string(uid) +
                " was refused: " + input_.substr(0, end));
  input_.erase(0, end + 2);
  send("BEGIN\r\n", deadline);
}

void DbusConnection::send(std::string_view bytes, const Deadline& deadline) {
  while (!bytes.empty()) {
    ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (n < 0 && errno == EAGAIN) {
      pollfd wait{socket_.get(), POLLOUT, 0};
      if (deadline.passed()) throw Error("the bus does not read");
      ::poll(&wait, 1, deadline.left_ms());
    } else if (errno != EINTR) {
      throw SysError("send to the bus");
    }
  }
}

void DbusConnection::receive(const Deadline& deadline) {
  for (;;) {
    char buffer[4096];
    ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (n > 0) {
      input_.append(buffer, static_cast<size_t>(n));
      return;
    }
    if (n == 0) throw Error("the bus closed the connection");
    if (errno == EINTR) continue;
    if (errno != EAGAIN) throw SysError("receive from the bus");
    if (deadline.passed()) throw Error("no answer within 30 s");
    pollfd wait{socket_.get(), POLLIN, 0};
    ::poll(&wait, 1, deadline.left_ms());
  }
}

DbusMessage DbusConnection::next(const Deadline& deadline) {
  for (;;) {
    if (auto size = encoded_size(input_); size && input_.size() >= *size) {
      DbusMessage message = decode(input_);
      input_.erase(0, *size);
      return message;
    }
    receive(deadline);
  }
}

DbusMessage DbusConnection::call(DbusMessage message) {
  Deadline deadline(patience_ms);
  message.kind = DbusKind::call;
  message.serial = ++serial_;
  if (peer_) message.destination.clear();
  send(encode(message), deadline);
  for (;;) {
    DbusMessage answer = next(deadline);
    if (answer.kind == DbusKind::signal)
      signals_.push_back(std::move(answer));
    else if (answer.reply_serial == message.serial) {
      if (answer.kind == DbusKind::reply) return answer;
      bool told = !answer.body.empty() && answer.body[0].signature == "s";
      throw DbusError(answer.error_name,
                      message.member + ": " + (told ? answer.body[0].text() : answer.error_name));
    }
  }
}

DbusMessage DbusConnection::wait_signal(const std::function<bool(const DbusMessage&)>& wanted,
                                        const Deadline& deadline) {
  for (;;) {
    DbusMessage signal;
    if (!signals_.empty()) {
      signal = std::move(signals_.front());
      signals_.pop_front();
    } else {
      signal = next(deadline);
    }
    if (signal.kind == DbusKind::signal && wanted(signal)) return signal;
  }
}

}  // namespace vessel
