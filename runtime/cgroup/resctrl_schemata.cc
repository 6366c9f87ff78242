// Comparing schemata. The kernel prints them padded, complete and rounded:
//     MB:0=100;1=100
//     L3:0=fffff;1=fffff
#include <charconv>
#include <optional>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/resctrl.hh"

namespace vessel {

namespace {

std::optional<uint64_t> number(std::string_view text, int base) {
  text = trim(text);
  if (base == 16 && (text.starts_with("0x") || text.starts_with("0X"))) text.remove_prefix(2);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "NAME:DOMAINS", nothing when there is no colon.
struct Line {
  std::string_view name, domains;
};
std::optional<Line> parse(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == text.npos) return std::nullopt;
  return Line{trim(text.substr(0, colon)), text.substr(colon + 1)};
}

// Memory bandwidth, also of slow memory (SMBA); everything else is a bit mask.
bool is_bandwidth(std::string_view name) {
  return name == "MB" || name == "SMBA";
}

std::optional<uint64_t> value_of(std::string_view domains, uint64_t domain, int base) {
  for (std::string_view part : split(domains, ";")) {
    const size_t equals = part.find('=');
    if (equals != part.npos && number(part.substr(0, equals), 10) == domain)
      return number(part.substr(equals + 1), base);
  }
  return std::nullopt;
}

}  // namespace

bool schemata_match(std::string_view line, std::string_view file, uint64_t granularity) {
  const auto wanted = parse(line);
  if (!wanted) return false;
  std::string_view have;
  for (std::string_view text : split(file, "\n"))
    if (const auto l = parse(text); l && l->name == wanted->name) have = l->domains;
  const int base = is_bandwidth(wanted->name) ? 10 : 16;
  for (std::string_view part : split(wanted->domains, ";")) {
    const size_t equals = part.find('=');
    if (equals == part.npos) {
      if (trim(part).empty()) continue;
      return false;
    }
    const auto domain = number(part.substr(0, equals), 10);
    const auto value = number(part.substr(equals + 1), base);
    if (!domain || !value) return false;
    const auto there = value_of(have, *domain, base);
    if (there == value) continue;
    if (base != 10 || granularity == 0) return false;
    if (there != (*value + granularity - 1) / granularity * granularity) return false;
  }
  return true;
}

}  // namespace vessel
