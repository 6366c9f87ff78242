// Owns: one connection to a message bus or to a peer: connecting, authenticating, calls and
// signals.
// Does not own: what is said on it (systemd_unit.cc).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/cgroup/dbus_message.hh"
#include "runtime/cgroup/wait.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// An error that the other side sent; `name` is like "org.freedesktop.systemd1.NoSuchUnit".
class DbusError : public Error {
 public:
  DbusError(std::string error_name, const std::string& message)
      : Error(message), name_(std::move(error_name)) {}
  const std::string& name() const { return name_; }

 private:
  std::string name_;
};

class DbusConnection {
 public:
  // Tries the addresses of `list` ("unix:path=…;unix:abstract=…") in order, authenticates as `uid`
  // (SASL EXTERNAL) and, unless `peer`, says Hello. Throws Error naming the address.
  DbusConnection(std::string_view list, uint32_t uid, bool peer);

  // Sends a call and waits at most 30 s for its reply; signals that come meanwhile are kept. Throws
  // DbusError, or Error when the connection ends or time is up.
  DbusMessage call(DbusMessage message);
  // The next signal for which `wanted` holds, kept ones first. Others are dropped. Throws Error
  // when `deadline` passes.
  DbusMessage wait_signal(const std::function<bool(const DbusMessage&)>& wanted,
                          const Deadline& deadline);

 private:
  void authenticate(uint32_t uid, const Deadline& deadline);
  void send(std::string_view bytes, const Deadline& deadline);
  void receive(const Deadline& deadline);  // at least one byte more
  DbusMessage next(const Deadline& deadline);

  Fd socket_;
  bool peer_;
  uint32_t serial_ = 0;
  std::string input_;
  std::deque<DbusMessage> signals_;
};

}  // namespace vessel
