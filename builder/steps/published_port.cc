#include "builder/steps/published_port.hh"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>

#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

struct Range {
  uint16_t first = 0, last = 0;
  int length() const { return last - first + 1; }
};

std::optional<Range> range_of(std::string_view text) {
  const size_t dash = text.find('-');
  const auto first = parse_number<uint16_t>(text.substr(0, dash));
  const auto last = dash == text.npos ? first : parse_number<uint16_t>(text.substr(dash + 1));
  if (!first || !last || *first == 0 || *last < *first) return std::nullopt;
  return Range{*first, *last};
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  int family() const { return storage.ss_family; }
};

std::optional<SocketAddress> address_of(const std::string& text, uint16_t port) {
  SocketAddress address;
  sockaddr_in v4{};
  if (inet_pton(AF_INET, text.empty() ? "0.0.0.0" : text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.length = sizeof v4;
    return address;
  }
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) != 1) return std::nullopt;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&address.storage, &v6, sizeof v6);
  address.length = sizeof v6;
  return address;
}

std::string host_text(const PublishedPort& port) {
  if (port.address.empty()) return "0.0.0.0";
  return port.address.find(':') == std::string::npos ? port.address : "[" + port.address + "]";
}

std::string full_text(const PublishedPort& port) {
  return host_text(port) + ":" + std::to_string(port.host) + (port.udp ? "/udp" : "/tcp");
}

Fd claim(PublishedPort& port) {
  const auto address = address_of(port.address, port.host);
  if (!address) throw Error("port: '" + port.address + "' is no address");
  Fd socket(::socket(address->family(), (port.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  if (!socket) throw SysError("socket");
  // Connections of an earlier container that linger in TIME_WAIT do not count.
  const int on = 1;
  if (!port.udp) setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->length) !=
          0 ||
      (!port.udp && listen(socket.get(), 1) != 0)) {
    if (errno == EADDRINUSE)
      throw Error("port " + full_text(port) +
                  " is in use by another program or container; choose another one with -p");
    if (errno == EACCES)
      throw Error("port " + full_text(port) +
                  ": ports below 1024 need root (or a lower net.ipv4.ip_unprivileged_port_start)");
    if (errno == EADDRNOTAVAIL)
      throw Error("port " + full_text(port) + ": this machine does not have that address");
    throw SysError("bind port " + full_text(port));
  }
  if (port.host == 0) {
    SocketAddress bound;
    bound.length = sizeof bound.storage;
    if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.length) != 0)
      throw SysError("getsockname");
    // sin_port and sin6_port are at the same place.
    sockaddr_in common{};
    std::memcpy(&common, &bound.storage, sizeof common);
    port.host = ntohs(common.sin_port);
  }
  return socket;
}

}  // namespace

std::vector<PublishedPort> parse_published(std::string_view whole) {
  const auto bad = [&](const std::string& why) {
    return Error("--publish " + std::string(whole) + ": " + why +
                 ", expected [[IP:][HOST]:]CONTAINER[/tcp|udp]");
  };
  std::string_view text = whole;
  PublishedPort model;
  if (const size_t slash = text.rfind('/'); slash != text.npos) {
    const std::string_view protocol = text.substr(slash + 1);
    if (protocol != "tcp" && protocol != "udp")
      throw bad("'" + std::string(protocol) + "' is no protocol");
    model.udp = protocol == "udp";
    text = text.substr(0, slash);
  }
  const size_t last = text.rfind(':');
  const auto inside = range_of(last == text.npos ? text : text.substr(last + 1));
  if (!inside) throw bad("the container's port is no number from 1 to 65535");
  std::string_view host;
  if (last != text.npos) {
    text = text.substr(0, last);
    const size_t colon = text.rfind(':');
    // A colon inside brackets belongs to the address.
    const bool has_address = colon != text.npos && !text.ends_with(']');
    host = has_address ? text.substr(colon + 1) : text;
    if (has_address) {
      std::string_view address = text.substr(0, colon);
      if (address.starts_with('[') && address.ends_with(']'))
        address = address.substr(1, address.size() - 2);
      model.address = address;
      if (!address_of(model.address, 0)) throw bad("'" + model.address + "' is no address");
    }
  }
  std::optional<Range> outside;
  if (!host.empty()) {
    outside = range_of(host);
    if (!outside) throw bad("the host's port is no number from 1 to 65535");
    if (outside->length() != inside->length()) throw bad("the ranges differ in length");
  }
  std::vector<PublishedPort> ports;
  for (int i = 0; i < inside->length(); ++i) {
    model.container = static_cast<uint16_t>(inside->first + i);
    model.host = outside ? static_cast<uint16_t>(outside->first + i) : uint16_t{0};
    ports.push_back(model);
  }
  return ports;
}

void claim_ports(std::vector<PublishedPort>& ports) {
  // All are held until the last is known to be free, so that two of them cannot be the same.
  std::vector<Fd> held;
  for (PublishedPort& port : ports) held.push_back(claim(port));
}

std::string ports_text(const std::vector<PublishedPort>& ports) {
  std::string text;
  for (const PublishedPort& port : ports)
    text += (text.empty() ? "" : ",") + host_text(port) + ":" + std::to_string(port.host) + "->" +
            std::to_string(port.container) + (port.udp ? "/udp" : "/tcp");
  return text;
}

}  // namespace kiln
