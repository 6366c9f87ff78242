// Owns: strict reading of numbers (DESIGN.md rule 7): the whole text, in range, or nothing.
// Does not own: what an out-of-range value means to its caller, or the message.
#pragma once

#include <charconv>
#include <concepts>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>

namespace vessel {

// Decimal digits only (and one leading '-' for signed types); no space, sign '+', or tail.
template <std::integral T>
std::optional<T> parse_number(std::string_view text, T low = std::numeric_limits<T>::min(),
                              T high = std::numeric_limits<T>::max()) {
  T value{};
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end || value < low || value > high) return std::nullopt;
  return value;
}

}  // namespace vessel
