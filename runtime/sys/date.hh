// Owns: moments as RFC 3339 writes them.
// Does not own: the clock, time zones by name. libc's calendar would bring the time zone files, and
// with them a tenth of this program's code, into every start of a container.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vessel {

struct Moment {
  int64_t seconds = 0;  // since 1970 UTC
  int64_t nanoseconds = 0;
};

// "2026-11-28T13:26:42Z", with nine digits of nanoseconds if wanted.
std::string write_date(Moment moment, bool nanoseconds);

// "2026-11-28" or "2026-11-28T13:26:42[.digits][Z|+01:00]" from the year 1970 on; without a zone
// UTC. nullopt when it is neither.
std::optional<Moment> read_date(std::string_view text);

}  // namespace vessel
