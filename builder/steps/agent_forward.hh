// Owns: a socket of a step's own that leads to an ssh agent's: other owner and mode than the
// agent's has, and gone with the step. Does not own: its name's removal, or what is said over it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "builder/sys/fd.hh"

namespace kiln {

class AgentForward {
 public:
  // Makes the socket `name` in `directory` (a descriptor) and listens; each connection becomes one
  // to the socket `agent` (a path), copied both ways until either end has gone. Its thread takes
  // no signals. Throws SysError.
  AgentForward(int directory, const std::string& name, std::string agent, mode_t mode, uid_t uid,
               gid_t gid);
  ~AgentForward();  // ends all connections
  AgentForward(const AgentForward&) = delete;
  AgentForward& operator=(const AgentForward&) = delete;

 private:
  // One direction: what was read and is not yet written.
  struct Way {
    std::string waiting;
    bool ended = false;   // nothing more to read
    bool closed = false;  // and the other end has been told
  };
  struct Connection {
    Fd client, agent;
    Way to_agent, to_client;
  };
  void serve();
  void accept_one();
  static void copy(int from, int to, Way& way, short from_events, short to_events);

  std::string agent_;
  Fd listener_, stop_;
  std::vector<Connection> connections_;
  std::thread thread_;
};

}  // namespace kiln
