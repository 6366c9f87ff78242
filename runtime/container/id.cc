#include "runtime/container/id.hh"

#include <unistd.h>

#include <cstdlib>

#include "runtime/sys/error.hh"

namespace vessel {

void check_id(std::string_view id) {
  // It names a directory.
  if (id.size() > 255)
    throw Error("invalid id format: \"" + std::string(id.substr(0, 64)) + "…\" has " +
                std::to_string(id.size()) + " characters, an id has at most 255");
  bool good = !id.empty() && id != "." && id != "..";
  for (char c : id) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '_' && c != '+' && c != '-' && c != '.') good = false;
  }
  if (!good)
    throw Error("invalid id format: \"" + std::string(id.substr(0, 64)) +
                "\"; letters, digits and _ + - . make an id");
}

std::string default_state_root(bool rootless) {
  if (!rootless) return "/run/vessel";
  const char* dir = std::getenv("XDG_RUNTIME_DIR");
  if (dir && *dir) return std::string(dir) + "/vessel";
  if (::geteuid() == 0) return "/run/vessel";
  return "/tmp/vessel-" + std::to_string(::geteuid());
}

}  // namespace vessel
