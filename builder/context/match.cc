// Go's filepath.Match for one path component.
#include "builder/context/context.hh"

namespace kiln {

namespace {

// One character, a code point where the text is UTF-8 and a byte where it is not.
uint32_t next_rune(std::string_view& text) {
  const auto c = static_cast<unsigned char>(text.front());
  const size_t size = c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;
  if (size == 1 || text.size() < size) {
    text.remove_prefix(1);
    return c < 0x80 ? c : 0xfffd;
  }
  uint32_t rune = c & (0xffU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    const auto d = static_cast<unsigned char>(text[i]);
    if ((d & 0xc0) != 0x80) {
      text.remove_prefix(1);
      return 0xfffd;
    }
    rune = rune << 6 | (d & 0x3f);
  }
  text.remove_prefix(size);
  return rune;
}

// A bound of a range inside brackets; false when malformed.
bool class_rune(std::string_view& pattern, uint32_t& rune) {
  if (pattern.empty() || pattern.front() == '-' || pattern.front() == ']') return false;
  if (pattern.front() == '\\') {
    pattern.remove_prefix(1);
    if (pattern.empty()) return false;
  }
  rune = next_rune(pattern);
  return !pattern.empty();
}

// After '[': whether `rune` is in the class; nullopt when malformed.
std::optional<bool> in_class(std::string_view& pattern, uint32_t rune) {
  const bool negated = pattern.starts_with('^');
  if (negated) pattern.remove_prefix(1);
  bool found = false;
  for (int ranges = 0;; ++ranges) {
    if (pattern.starts_with(']') && ranges > 0) {
      pattern.remove_prefix(1);
      return found != negated;
    }
    uint32_t low = 0;
    if (!class_rune(pattern, low)) return std::nullopt;
    uint32_t high = low;
    if (pattern.starts_with('-')) {
      pattern.remove_prefix(1);
      if (!class_rune(pattern, high)) return std::nullopt;
    }
    if (low <= rune && rune <= high) found = true;
  }
}

// One step of the pattern that is not '*' against the start of `name`; nullopt when malformed.
// A name that is used up still lets the rest of the pattern be checked.
std::optional<bool> step(std::string_view& pattern, std::string_view& name) {
  const char c = pattern.front();
  const bool ended = name.empty();
  if (c == '[') {
    pattern.remove_prefix(1);
    const uint32_t rune = ended ? 0 : next_rune(name);
    const auto matched = in_class(pattern, rune);
    if (!matched) return std::nullopt;
    return *matched && !ended;
  }
  if (c == '?') {
    pattern.remove_prefix(1);
    if (ended || name.front() == '/') return false;
    next_rune(name);
    return true;
  }
  if (c == '\\') {
    pattern.remove_prefix(1);
    if (pattern.empty()) return std::nullopt;
  }
  const bool same = !ended && name.front() == pattern.front();
  pattern.remove_prefix(1);
  if (!ended) name.remove_prefix(1);
  return same;
}

bool well_formed(std::string_view pattern) {
  while (!pattern.empty()) {
    if (pattern.front() == '*') {
      pattern.remove_prefix(1);
      continue;
    }
    std::string_view nothing;
    if (!step(pattern, nothing)) return false;
  }
  return true;
}

}  // namespace

bool has_wildcard(std::string_view pattern) {
  return pattern.find_first_of("*?[\\") != std::string_view::npos;
}

std::optional<bool> match_component(std::string_view pattern, std::string_view name) {
  if (!well_formed(pattern)) return std::nullopt;
  // The usual backtracking over the last star only: linear in pattern times name.
  std::string_view star_pattern;
  std::string_view star_name;
  bool starred = false;
  for (;;) {
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      starred = true;
      star_pattern = pattern;
      star_name = name;
      continue;
    }
    if (pattern.empty() && name.empty()) return true;
    if (!pattern.empty() && !name.empty() && *step(pattern, name)) continue;
    if (!starred || star_name.empty() || star_name.front() == '/') return false;
    star_name.remove_prefix(1);
    pattern = star_pattern;
    name = star_name;
  }
}

}  // namespace kiln
