#include "builder/cli/time.hh"

#include <cstdlib>
#include <ctime>

#include "builder/cli/verb.hh"
#include "builder/sys/number.hh"

namespace kiln::cli {

std::string rfc3339(int64_t seconds) {
  const time_t t = seconds;
  tm parts{};
  gmtime_r(&t, &parts);
  char buffer[64];
  const size_t n = strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {buffer, n};
}

std::optional<int64_t> parse_rfc3339(std::string_view text) {
  if (text.size() < 20) return std::nullopt;
  const auto number = [&](size_t from, size_t count) {
    return kiln::parse_number<int>(text.substr(from, count)).value_or(-1);
  };
  tm parts{};
  parts.tm_year = number(0, 4) - 1900;
  parts.tm_mon = number(5, 2) - 1;
  parts.tm_mday = number(8, 2);
  parts.tm_hour = number(11, 2);
  parts.tm_min = number(14, 2);
  parts.tm_sec = number(17, 2);
  if (parts.tm_mon < 0 || parts.tm_mon > 11 || parts.tm_mday < 1 || parts.tm_hour < 0 ||
      parts.tm_min < 0 || parts.tm_sec < 0)
    return std::nullopt;
  int64_t seconds = timegm(&parts);
  const char sign = text[text.size() - 6 < text.size() ? text.size() - 6 : 0];
  if (text.back() != 'Z' && text.back() != 'z') {
    const int hours = number(text.size() - 5, 2), minutes = number(text.size() - 2, 2);
    if ((sign != '+' && sign != '-') || hours < 0 || minutes < 0) return std::nullopt;
    seconds -= (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
  }
  return seconds;
}

int64_t creation_time() {
  const char* epoch = getenv("SOURCE_DATE_EPOCH");
  if (epoch == nullptr || *epoch == '\0') return time(nullptr);
  return parse_number(epoch, "SOURCE_DATE_EPOCH", 0);
}

}  // namespace kiln::cli
