#include "builder/stage/ports.hh"

#include <arpa/inet.h>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/quantity.hh"
#include "builder/sys/error.hh"

namespace kiln::stage {

namespace {

struct PortRange {
  uint32_t first;
  uint32_t last;
};

PortRange parse_range(std::string_view text, std::string_view what, std::string_view whole) {
  const size_t dash = text.find('-');
  const auto first = dockerfile::parse_number(text.substr(0, dash));
  const auto last =
      dash == std::string_view::npos ? first : dockerfile::parse_number(text.substr(dash + 1));
  if (!first || !last || *last > 65535 || *first > *last) {
    throw Error("invalid " + std::string(what) + " '" + std::string(text) + "' in '" +
                std::string(whole) + "': must be 0 to 65535, or two of these with '-' between");
  }
  return {*first, *last};
}

void check_address(std::string address) {
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
  unsigned char buffer[16];
  if (inet_pton(AF_INET, address.c_str(), buffer) != 1 &&
      inet_pton(AF_INET6, address.c_str(), buffer) != 1) {
    throw Error("invalid IP address: " + address);
  }
}

}  // namespace

Ports parse_ports(std::string_view text) {
  Ports result;
  std::string_view container = text;
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos) {
    result.mapping = true;
    container = text.substr(colon + 1);
    std::string_view host = text.substr(0, colon);
    const size_t second = host.rfind(':');
    if (second != std::string_view::npos) check_address(std::string(host.substr(0, second)));
    if (second != std::string_view::npos) host.remove_prefix(second + 1);
    if (!host.empty()) parse_range(host, "host port", text);
  }
  const size_t slash = container.find('/');
  result.protocol = slash == std::string_view::npos || slash + 1 == container.size()
                        ? "tcp"
                        : container.substr(slash + 1);
  const std::string protocol = dockerfile::lower(result.protocol);
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp") {
    throw Error("invalid protocol in '" + std::string(text) + "': must be tcp, udp or sctp");
  }
  const PortRange range = parse_range(container.substr(0, slash), "port", text);
  for (uint32_t port = range.first; port <= range.last; ++port) {
    result.ports.push_back(std::to_string(port) + "/" + protocol);
  }
  return result;
}

}  // namespace kiln::stage
