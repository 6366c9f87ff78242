// Owns: the devices that every container has (config-linux.md "Default Devices") and may use.
// Does not own: making them, or the config's own.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace vessel {

struct DefaultDevice {  // a character device, 0666, of the container's root
  std::string_view path;
  uint32_t major, minor;
};

inline constexpr std::array<DefaultDevice, 6> default_devices = {{{"/dev/null", 1, 3},
                                                                  {"/dev/zero", 1, 5},
                                                                  {"/dev/full", 1, 7},
                                                                  {"/dev/random", 1, 8},
                                                                  {"/dev/urandom", 1, 9},
                                                                  {"/dev/tty", 5, 0}}};

struct DefaultRule {
  std::string_view type;
  int64_t major, minor;  // -1: all
  std::string_view access;
};

// What runc allows in every container: making any node (using it is another matter), the devices
// above, pseudo terminals, and 10:200 (/dev/net/tun), which VPN images have relied on since
// Docker's first days.
inline constexpr std::array<DefaultRule, 11> default_rules = {{{"c", -1, -1, "m"},
                                                               {"b", -1, -1, "m"},
                                                               {"c", 1, 3, "rwm"},
                                                               {"c", 1, 8, "rwm"},
                                                               {"c", 1, 7, "rwm"},
                                                               {"c", 5, 0, "rwm"},
                                                               {"c", 1, 5, "rwm"},
                                                               {"c", 1, 9, "rwm"},
                                                               {"c", 136, -1, "rwm"},
                                                               {"c", 5, 2, "rwm"},
                                                               {"c", 10, 200, "rwm"}}};

}  // namespace vessel
