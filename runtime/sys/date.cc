#include "runtime/sys/date.hh"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "runtime/sys/number.hh"

namespace vessel {

namespace {

using std::chrono::floor;
using std::chrono::hh_mm_ss;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year_month_day;

// "+01:00", "-05:30", "Z" in seconds.
std::optional<int64_t> zone_of(std::string_view text) {
  if (text == "Z" || text == "z" || text.empty()) return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  auto hours = parse_number<int64_t>(text.substr(1, 2), 0, 23);
  auto minutes = parse_number<int64_t>(text.substr(4, 2), 0, 59);
  if (!hours || !minutes) return std::nullopt;
  return (text[0] == '-' ? -1 : 1) * (*hours * 3600 + *minutes * 60);
}

// The digits behind the seconds, removed from `text`; nullopt when they are none.
std::optional<int64_t> take_fraction(std::string_view& text) {
  if (!text.starts_with('.')) return 0;
  size_t end = std::min(text.find_first_not_of("0123456789", 1), text.size());
  std::string digits(text.substr(1, end - 1));
  if (digits.empty() || digits.size() > 9) return std::nullopt;
  digits.resize(9, '0');
  text.remove_prefix(end);
  return parse_number<int64_t>(digits, 0, 999'999'999);
}

}  // namespace

std::string write_date(Moment moment, bool nanoseconds) {
  sys_seconds when{std::chrono::seconds{moment.seconds}};
  sys_days day = floor<std::chrono::days>(when);
  year_month_day date{day};
  hh_mm_ss clock{when - day};
  char text[64];
  int used = std::snprintf(
      text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()));
  size_t left = sizeof text - static_cast<size_t>(used);
  if (nanoseconds)
    std::snprintf(text + used, left, ".%09ldZ", static_cast<long>(moment.nanoseconds));
  else
    std::snprintf(text + used, left, "Z");
  return text;
}

std::optional<Moment> read_date(std::string_view text) {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  auto field = [&](size_t at, size_t length, int least, int most) {
    return text.size() < at + length ? std::nullopt
                                     : parse_number<int>(text.substr(at, length), least, most);
  };
  auto year = field(0, 4, 1970, 9999), month = field(5, 2, 1, 12), day = field(8, 2, 1, 31);
  if (!year || !month || !day) return std::nullopt;
  year_month_day date{std::chrono::year{*year}, std::chrono::month{static_cast<unsigned>(*month)},
                      std::chrono::day{static_cast<unsigned>(*day)}};
  // A day that the month does not have counts on into the next, as timegm(3) does it.
  Moment moment{sys_seconds{sys_days{date}}.time_since_epoch().count(), 0};
  if (text.size() == 10) return moment;
  if (text.size() < 19 || text[10] != 'T' || text[13] != ':' || text[16] != ':')
    return std::nullopt;
  auto hour = field(11, 2, 0, 23), minute = field(14, 2, 0, 59), second = field(17, 2, 0, 60);
  if (!hour || !minute || !second) return std::nullopt;
  std::string_view rest = text.substr(19);
  auto nanoseconds = take_fraction(rest);
  auto zone = zone_of(rest);
  if (!nanoseconds || !zone) return std::nullopt;
  moment.seconds += *hour * 3600 + *minute * 60 + *second - *zone;
  moment.nanoseconds = *nanoseconds;
  return moment;
}

}  // namespace vessel
