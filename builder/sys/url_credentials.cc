#include "builder/sys/url_credentials.hh"

#include <algorithm>

namespace kiln {

namespace {

// Calls `keep` with what may be shown and `hide` with each user information, in order.
template <typename Keep, typename Hide>
void split(std::string_view text, const Keep& keep, const Hide& hide) {
  constexpr std::string_view separator = "://";
  size_t shown = 0;
  for (size_t at = text.find(separator); at != std::string_view::npos;
       at = text.find(separator, at)) {
    const std::string_view before = text.substr(0, at);
    at += separator.size();
    // RFC 3986, 3.2: the authority ends at these; a word of a Dockerfile also at the others.
    const size_t end = std::min(text.find_first_of("/?# \t\r\n\"'<>\\,", at), text.size());
    const size_t sign = text.substr(0, end).rfind('@');
    if (sign == std::string_view::npos || sign < at) continue;
    const std::string_view user = text.substr(at, sign - at);
    if (before.ends_with("ssh") && user.find(':') == std::string_view::npos) continue;
    keep(text.substr(shown, at - shown));
    hide(user);
    shown = sign;
    at = end;
  }
  keep(text.substr(shown));
}

}  // namespace

std::string without_credentials(std::string_view text) {
  std::string out;
  split(
      text, [&](std::string_view part) { out += part; }, [&](std::string_view) { out += "…"; });
  return out;
}

std::string with_masked_credentials(std::string_view text) {
  std::string out;
  split(
      text, [&](std::string_view part) { out += part; },
      [&](std::string_view user) { out.append(user.size(), '*'); });
  return out;
}

}  // namespace kiln
