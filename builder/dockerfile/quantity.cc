#include "builder/dockerfile/quantity.hh"

#include <charconv>
#include <cmath>

#include "builder/dockerfile/characters.hh"

namespace kiln::dockerfile {

namespace {

// Takes "12" or "1.5" or ".5" from the front. Exponents and signs are no part of it.
std::optional<double> take_decimal(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  if (end == 0 || text.substr(0, end) == ".") return std::nullopt;
  std::string digits(1, '0');  // from_chars wants a digit in front of the point
  digits.append(text.substr(0, end));
  double value = 0;
  const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value,
                                             std::chars_format::fixed);
  if (error != std::errc() || last != digits.data() + digits.size()) return std::nullopt;
  text.remove_prefix(end);
  return value;
}

std::optional<double> take_unit(std::string_view& text) {
  struct Unit {
    std::string_view name;
    double nanoseconds;
  };
  static constexpr Unit units[] = {{"ns", 1},   {"us", 1e3}, {"\xC2\xB5s", 1e3}, {"\xCE\xBCs", 1e3},
                                   {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},        {"h", 3600e9}};
  for (const Unit& unit : units) {
    if (!text.starts_with(unit.name)) continue;
    text.remove_prefix(unit.name.size());
    return unit.nanoseconds;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    const auto value = take_decimal(text);
    const auto unit = value ? take_unit(text) : std::nullopt;
    if (!unit) return std::nullopt;
    total += *value * *unit;
  }
  if (total >= 9.2e18) return std::nullopt;
  const auto count = std::llround(total);
  return std::chrono::nanoseconds(negative ? -count : count);
}

std::optional<int64_t> parse_size(std::string_view text) {
  const auto value = take_decimal(text);
  if (!value) return std::nullopt;
  if (text.starts_with(' ')) text.remove_prefix(1);
  double factor = 1;
  std::string unit = lower(text);
  static constexpr std::string_view prefixes = "kmgtp";
  if (!unit.empty() && prefixes.contains(unit[0])) {
    factor = std::pow(1024.0, static_cast<double>(prefixes.find(unit[0]) + 1));
    unit.erase(0, 1);
    if (unit == "ib") unit = "b";
  }
  if (!unit.empty() && unit != "b") return std::nullopt;
  const double bytes = *value * factor;
  if (bytes >= 9.2e18) return std::nullopt;
  return static_cast<int64_t>(bytes);
}

std::optional<bool> parse_boolean(std::string_view text) {
  for (const std::string_view word : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == word) return true;
  }
  for (const std::string_view word : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == word) return false;
  }
  return std::nullopt;
}

std::optional<uint32_t> parse_number(std::string_view text, int base) {
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value, base);
  if (text.empty() || error != std::errc() || last != end) return std::nullopt;
  return value;
}

}  // namespace kiln::dockerfile
