// Owns: the port notation of EXPOSE. Does not own: what an exposed port means to anybody.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kiln::stage {

struct Ports {
  std::vector<std::string> ports;  // "80/tcp", a range written out
  std::string protocol;            // as written; "tcp" when none was
  bool mapping = false;            // an IP address or host port stood in front: not for EXPOSE
};

// "80", "80/udp", "8000-8010", "127.0.0.1:80:80". Throws Error naming the part that is wrong.
Ports parse_ports(std::string_view text);

}  // namespace kiln::stage
