// Owns: turning text into numbers strictly: the whole text, digits only, in range.
// Does not own: what the numbers mean.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>

namespace kiln {

// nullopt for empty text, signs other than a leading '-' of a signed type, spaces, trailing
// characters and values out of range. `base` is 2 to 36; no prefix is accepted.
template <std::integral T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace kiln
