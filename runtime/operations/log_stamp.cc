#include <algorithm>

#include "runtime/operations/logs.hh"
#include "runtime/sys/date.hh"
#include "runtime/sys/number.hh"

namespace vessel {

namespace {

std::optional<int64_t> seconds_of_duration(std::string_view text) {
  int64_t total = 0;
  while (!text.empty()) {
    size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    auto number = parse_number<int64_t>(text.substr(0, digits), 0, 1'000'000'000);
    if (!number || digits == text.size()) return std::nullopt;
    int64_t unit = 0;
    switch (text[digits]) {
      case 's':
        unit = 1;
        break;
      case 'm':
        unit = 60;
        break;
      case 'h':
        unit = 3600;
        break;
      case 'd':
        unit = 86400;
        break;
      default:
        return std::nullopt;
    }
    total += *number * unit;
    text.remove_prefix(digits + 1);
  }
  return total;
}

}  // namespace

std::optional<std::string> log_stamp(std::string_view text, int64_t now) {
  if (auto date = read_date(text)) return write_date(*date, true);
  if (auto seconds = parse_number<int64_t>(text, 0, 253'402'300'799))
    return write_date({*seconds, 0}, true);
  if (text.empty()) return std::nullopt;
  if (auto age = seconds_of_duration(text)) return write_date({now - *age, 0}, true);
  return std::nullopt;
}

}  // namespace vessel
