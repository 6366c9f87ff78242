#include <cstdio>
#include <ctime>

#include "runtime/operations/logs.hh"
#include "runtime/sys/number.hh"

namespace vessel {

namespace {

std::string stamp_of(int64_t seconds, int64_t nanoseconds) {
  const time_t time = seconds;
  tm parts{};
  if (!::gmtime_r(&time, &parts)) return "";
  char text[64];
  size_t used = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + used, sizeof text - used, ".%09ldZ", static_cast<long>(nanoseconds));
  return text;
}

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

// "+01:00", "-05:30", "Z" in seconds.
std::optional<int64_t> zone_of(std::string_view text) {
  if (text == "Z" || text == "z" || text.empty()) return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  auto hours = parse_number<int64_t>(text.substr(1, 2), 0, 23);
  auto minutes = parse_number<int64_t>(text.substr(4, 2), 0, 59);
  if (!hours || !minutes) return std::nullopt;
  return (text[0] == '-' ? -1 : 1) * (*hours * 3600 + *minutes * 60);
}

std::optional<std::string> stamp_of_date(std::string_view text) {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  tm parts{};
  auto field = [&](size_t at, size_t length, int least, int most) {
    return text.size() < at + length ? std::nullopt
                                     : parse_number<int>(text.substr(at, length), least, most);
  };
  auto year = field(0, 4, 1970, 9999), month = field(5, 2, 1, 12), day = field(8, 2, 1, 31);
  if (!year || !month || !day) return std::nullopt;
  parts.tm_year = *year - 1900;
  parts.tm_mon = *month - 1;
  parts.tm_mday = *day;
  int64_t nanoseconds = 0, zone = 0;
  if (text.size() > 10) {
    if (text.size() < 19 || text[10] != 'T' || text[13] != ':' || text[16] != ':')
      return std::nullopt;
    auto hour = field(11, 2, 0, 23), minute = field(14, 2, 0, 59), second = field(17, 2, 0, 60);
    if (!hour || !minute || !second) return std::nullopt;
    parts.tm_hour = *hour;
    parts.tm_min = *minute;
    parts.tm_sec = *second;
    std::string_view rest = text.substr(19);
    if (rest.starts_with('.')) {
      size_t end = std::min(rest.find_first_not_of("0123456789", 1), rest.size());
      std::string digits(rest.substr(1, end - 1));
      if (digits.empty() || digits.size() > 9) return std::nullopt;
      digits.resize(9, '0');
      nanoseconds = *parse_number<int64_t>(digits, 0, 999'999'999);
      rest.remove_prefix(end);
    }
    auto offset = zone_of(rest);
    if (!offset) return std::nullopt;
    zone = *offset;
  }
  return stamp_of(::timegm(&parts) - zone, nanoseconds);
}

}  // namespace

std::optional<std::string> log_stamp(std::string_view text, int64_t now) {
  if (auto date = stamp_of_date(text)) return date;
  if (auto seconds = parse_number<int64_t>(text, 0, 253'402'300'799)) return stamp_of(*seconds, 0);
  if (text.empty()) return std::nullopt;
  if (auto age = seconds_of_duration(text)) return stamp_of(now - *age, 0);
  return std::nullopt;
}

}  // namespace vessel
