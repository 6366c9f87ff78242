#include "builder/registry/patience.hh"

#include <time.h>

#include <algorithm>
#include <random>

#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr int attempts = 5;
constexpr double longest = 60;  // seconds

}  // namespace

bool Patience::wait(const HttpClient& http, const std::optional<double>& asked) {
  if (++attempt_ >= attempts || asked.value_or(0) > longest) return false;
  thread_local std::minstd_rand chance{std::random_device()()};
  const double base = 0.25 * static_cast<double>(1 << (attempt_ - 1));
  const double jittered = base * std::uniform_real_distribution<double>(0.75, 1.25)(chance);
  http.wait(std::max(asked.value_or(0), jittered));
  return true;
}

std::optional<double> retry_after(const HttpResponse& response) {
  const auto value = response.headers.find("retry-after");
  if (!value) return std::nullopt;
  if (const auto seconds = parse_number<uint32_t>(*value)) return static_cast<double>(*seconds);
  tm date{};
  // "Sun, 06 Nov 1994 08:49:37 GMT"; names of days and months in English whatever the locale is:
  // kiln never calls setlocale().
  const char* end = strptime(value->c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return std::max(0.0, difftime(timegm(&date), time(nullptr)));
}

bool may_pass(long status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

bool may_pass(HttpFailure::Kind kind) {
  using Kind = HttpFailure::Kind;
  return kind == Kind::cut || kind == Kind::stalled;
}

}  // namespace kiln
