// Owns: times as image documents write them. Does not own: clocks of builds (SOURCE_DATE_EPOCH in a
// build is the solver's).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kiln::cli {

// "2006-01-02T15:04:05Z".
std::string rfc3339(int64_t seconds);
// Seconds since the epoch; nullopt when malformed. Fractions are cut off.
std::optional<int64_t> parse_rfc3339(std::string_view text);
// $SOURCE_DATE_EPOCH, else now. Throws UsageError when the variable is no number.
int64_t creation_time();

}  // namespace kiln::cli
