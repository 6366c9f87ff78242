#include "runtime/plan/rooms.hh"
#include "runtime/sys/number.hh"

namespace vessel {

std::optional<CpuSet> parse_cpu_list(std::string_view text) {
  // The kernel's CONFIG_NR_CPUS ends at 8192; a set far beyond would only cost memory.
  constexpr uint32_t last = 8191;
  const auto trim = [](std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\n')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\n')) s.remove_suffix(1);
    return s;
  };
  CpuSet set;
  text = trim(text);
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view part = trim(text.substr(0, comma));
    text = comma == text.npos ? std::string_view() : text.substr(comma + 1);
    if (comma != std::string_view::npos && trim(text).empty()) return std::nullopt;
    const size_t dash = part.find('-');
    const auto first = parse_number<uint32_t>(trim(part.substr(0, dash)), 0, last);
    const auto end =
        dash == part.npos ? first : parse_number<uint32_t>(trim(part.substr(dash + 1)), 0, last);
    if (!first || !end || *end < *first) return std::nullopt;
    if (set.size() <= *end / 64) set.resize(*end / 64 + 1);
    for (uint32_t cpu = *first; cpu <= *end; ++cpu) set[cpu / 64] |= uint64_t{1} << cpu % 64;
  }
  return set;
}

std::string clean_absolute(std::string_view path) {
  std::string clean;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == path.npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..")
      clean.resize(clean.empty() ? 0 : clean.rfind('/'));
    else
      clean.append("/").append(part);
  }
  return clean.empty() ? "/" : clean;
}

}  // namespace vessel
