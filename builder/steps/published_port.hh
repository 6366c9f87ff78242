// Owns: what -p means: reading it, and finding out beforehand whether a port of the host is free.
// Does not own: forwarding (container_network.hh).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

struct PublishedPort {
  std::string address;  // of the host, without brackets; empty: all
  uint16_t host = 0;    // 0: any free one
  uint16_t container = 0;
  bool udp = false;
  bool operator==(const PublishedPort&) const = default;
};

// "[[IP:][HOST]:]CONTAINER[/tcp|udp]", where HOST and CONTAINER may be ranges of equal length.
// Throws Error.
std::vector<PublishedPort> parse_published(std::string_view text);

// Binds each port for a moment; picks one where any will do. Throws Error "port 0.0.0.0:80/tcp is
// in use …".
void claim_ports(std::vector<PublishedPort>& ports);

// "0.0.0.0:9000->80/tcp,…" as `docker ps` writes it.
std::string ports_text(const std::vector<PublishedPort>& ports);

}  // namespace kiln
