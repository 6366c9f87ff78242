// Owns: values in GVariant's text format, as org.systemd.property.* annotations have them, turned
// into D-Bus values.
// Does not own: which property gets them (systemd_properties.hh).
#pragma once

#include <string_view>

#include "runtime/cgroup/dbus_message.hh"

namespace vessel {

// Booleans, numbers (int32 unless said otherwise, double with a point), strings in either quote,
// byte strings b'…', arrays, tuples, variants <…>, with types by keyword (`uint64 5`) or `@at`.
// Throws Error saying at which character.
DbusValue parse_gvariant(std::string_view text);

}  // namespace vessel
