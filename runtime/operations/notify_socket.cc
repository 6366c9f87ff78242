#include "runtime/operations/notify_socket.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

constexpr const char* directory = "notify";
constexpr const char* name = "notify.sock";

const char* host_socket() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  return path && *path ? path : nullptr;
}

sockaddr_un address_of(const std::string& path, socklen_t& length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw SysError("socket " + path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (!path.empty() && path[0] == '@') address.sun_path[0] = '\0';  // abstract
  return address;
}

Fd& listening() {
  static Fd socket;
  return socket;
}

}  // namespace

void add_notify_socket(oci::Config& config, const std::string& state_dir) {
  if (!host_socket() || !config.process) return;
  oci::Mount mount;
  mount.destination = "/run/notify";
  mount.type = "bind";
  mount.source = state_dir + "/" + directory;
  mount.options = {"bind", "nosuid", "noexec", "nodev", "ro"};
  config.mounts.push_back(std::move(mount));
  config.process->env.push_back(std::string("NOTIFY_SOCKET=/run/notify/") + name);
}

void make_notify_directory(int state_dir) {
  if (host_socket() && ::mkdirat(state_dir, directory, 0755) < 0) throw SysError("mkdir notify");
}

void listen_for_readiness(int state_dir) {
  if (!host_socket()) return;
  Fd dir = try_open_file(state_dir, directory, O_PATH | O_DIRECTORY);
  if (!dir) return;  // created by a caller without NOTIFY_SOCKET
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) throw SysError("socket");
  socklen_t length;
  sockaddr_un address =
      address_of("/proc/self/fd/" + std::to_string(dir.get()) + "/" + name, length);
  ::unlinkat(dir.get(), name, 0);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) < 0)
    throw SysError("bind notify.sock");
  // The container's user, whoever that is, sends to it.
  if (::fchmodat(dir.get(), name, 0777, 0) < 0) throw SysError("chmod notify.sock");
  listening() = std::move(socket);
}

int readiness_socket() {
  return host_socket() && listening() ? listening().get() : -1;
}

bool pass_readiness(pid_t main_pid) {
  const char* host = host_socket();
  char buffer[4096];
  ssize_t got = ::recv(listening().get(), buffer, sizeof buffer, 0);
  if (got <= 0) return true;
  std::string_view text(buffer, static_cast<size_t>(got));
  bool ready = false;
  // Only what concerns readiness: the rest of the container's talk is not the manager's.
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line == "READY=1") ready = true;
  }
  if (!ready) return false;
  const std::string passed = "READY=1\nMAINPID=" + std::to_string(main_pid) + "\n";
  Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  socklen_t length;
  sockaddr_un address = address_of(host, length);
  if (!socket || ::sendto(socket.get(), passed.data(), passed.size(), MSG_NOSIGNAL,
                          reinterpret_cast<sockaddr*>(&address), length) < 0)
    throw SysError(std::string("send to NOTIFY_SOCKET ") + host);
  return true;
}

void pass_readiness_on(pid_t init_pid, const Fd& init) {
  const int socket = readiness_socket();
  if (socket < 0) return;
  for (;;) {
    pollfd p[2] = {{socket, POLLIN, 0}, {init.get(), POLLIN, 0}};
    if (::poll(p, 2, -1) < 0) {
      if (errno == EINTR) continue;
      throw SysError("poll notify socket");
    }
    if (!(p[0].revents & POLLIN)) return;  // init is gone
    if (pass_readiness(init_pid)) return;
  }
}

}  // namespace vessel
