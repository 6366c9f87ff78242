// Owns: which container ids are valid, and the default state root. Does not own: the directories.
#pragma once

#include <string>
#include <string_view>

namespace vessel {

// runc's rules: not empty, letters, digits and "_+-.", and neither "." nor "..". At most 255
// bytes; one component of a path in any case. Throws Error.
void check_id(std::string_view id);

// --root when it is not given: /run/vessel for root of the first user namespace; otherwise
// $XDG_RUNTIME_DIR/vessel, where an empty variable means unset (podman sends it empty) and then
// /run/vessel for uid 0 and /tmp/vessel-UID for others.
std::string default_state_root(bool rootless);

}  // namespace vessel
