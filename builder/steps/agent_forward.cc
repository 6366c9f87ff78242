#include "builder/steps/agent_forward.hh"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

constexpr size_t most_connections = 64;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw Error(path + ": too long for a socket's name");
  memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

Fd stream_socket() {
  return Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

}  // namespace

AgentForward::AgentForward(int directory, const std::string& name, std::string agent, mode_t mode,
                           uid_t uid, gid_t gid)
    : agent_(std::move(agent)), listener_(stream_socket()), stop_(eventfd(0, EFD_CLOEXEC)) {
  if (!listener_ || !stop_) throw SysError("make a socket for the ssh agent");
  // Through the descriptor: the path of a store can be longer than a socket's may be.
  const sockaddr_un address = address_of("/proc/self/fd/" + std::to_string(directory) + "/" + name);
  if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw SysError("make the socket " + name);
  if (fchownat(directory, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
    throw SysError("--mount=type=ssh: give its socket to " + std::to_string(uid) + ":" +
                   std::to_string(gid));
  if (fchmodat(directory, name.c_str(), mode, 0) != 0) throw SysError("change mode of " + name);
  if (listen(listener_.get(), 16) != 0) throw SysError("listen on " + name);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { serve(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

AgentForward::~AgentForward() {
  const uint64_t one = 1;
  if (write(stop_.get(), &one, sizeof one) == sizeof one)
    thread_.join();
  else
    thread_.detach();
}

void AgentForward::accept_one() {
  Fd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client) return;
  const std::string path = agent_.size() < sizeof(sockaddr_un::sun_path) ? agent_ : "";
  Fd agent = stream_socket();
  const sockaddr_un address = address_of(path);
  // One that does not answer: the client sees the end of its connection.
  if (path.empty() || !agent || connections_.size() >= most_connections ||
      connect(agent.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return;
  connections_.push_back({std::move(client), std::move(agent), {}, {}});
}

void AgentForward::copy(int from, int to, Way& way, short from_events, short to_events) {
  std::array<char, 16384> buffer;
  if (!way.ended && way.waiting.empty() && from_events != 0) {
    const ssize_t n = read(from, buffer.data(), buffer.size());
    if (n > 0)
      way.waiting.assign(buffer.data(), static_cast<size_t>(n));
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
      way.ended = true;
    to_events = POLLOUT;
  }
  if (!way.waiting.empty() && to_events != 0) {
    const ssize_t n = send(to, way.waiting.data(), way.waiting.size(), MSG_NOSIGNAL);
    if (n > 0)
      way.waiting.erase(0, static_cast<size_t>(n));
    else if (errno != EAGAIN && errno != EINTR)
      way.waiting.clear(), way.ended = true;
  }
  if (way.ended && way.waiting.empty() && !way.closed) {
    shutdown(to, SHUT_WR);
    way.closed = true;
  }
}

void AgentForward::serve() {
  while (true) {
    std::vector<pollfd> polled = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const Connection& c : connections_) {
      const auto events = [](const Way& in, const Way& out) {
        return static_cast<short>((!in.ended && in.waiting.empty() ? POLLIN : 0) |
                                  (out.waiting.empty() ? 0 : POLLOUT));
      };
      // An end that has nothing to say is not asked: a hang-up would be told again and again.
      const short client = events(c.to_agent, c.to_client), agent = events(c.to_client, c.to_agent);
      polled.push_back({client == 0 ? -1 : c.client.get(), client, 0});
      polled.push_back({agent == 0 ? -1 : c.agent.get(), agent, 0});
    }
    if (poll(polled.data(), polled.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (polled[0].revents != 0) return;
    for (size_t i = connections_.size(); i-- > 0;) {
      Connection& c = connections_[i];
      const short client = polled[2 + 2 * i].revents, agent = polled[3 + 2 * i].revents;
      copy(c.client.get(), c.agent.get(), c.to_agent, client, agent);
      copy(c.agent.get(), c.client.get(), c.to_client, agent, client);
      if (c.to_agent.closed && c.to_client.closed)
        connections_.erase(connections_.begin() + static_cast<ptrdiff_t>(i));
    }
    if (polled[1].revents != 0) accept_one();
  }
}

}  // namespace kiln
