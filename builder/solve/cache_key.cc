#include "builder/solve/cache_key.hh"

#include <algorithm>

namespace kiln::solve {

namespace {

// Long values (whole heredocs, environments) are shown by their differing part only.
constexpr size_t shown = 60;

void put(oci::Hasher& hasher, std::string_view text) {
  const std::string length = std::to_string(text.size()) + ":";
  hasher.update(std::string_view(length));
  hasher.update(text);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text.substr(0, shown)) {
    if (c == '\n')
      out += "\\n";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += '?';
    else
      out += c;
  }
  return out + (text.size() > shown ? "…\"" : "\"");
}

bool is_digest(std::string_view text) {
  return text.starts_with("sha256:") && text.size() == 71;
}

std::string changed(const std::string& name, std::string_view before, std::string_view now) {
  if (is_digest(before) && is_digest(now)) return name + " changed";
  // The common start says nothing; a little of it is kept for orientation.
  const auto [a, b] = std::ranges::mismatch(before, now);
  const auto common = static_cast<size_t>(a - before.begin());
  if (common > shown / 2) {
    const size_t from = common - 10;
    return name + " changed: …" + quoted(before.substr(from)) + " -> …" + quoted(now.substr(from));
  }
  return name + " changed: " + quoted(before) + " -> " + quoted(now);
}

const std::string* find(const KeyParts& parts, const std::string& name) {
  const auto found = std::ranges::find(parts, name, &std::pair<std::string, std::string>::first);
  return found == parts.end() ? nullptr : &found->second;
}

}  // namespace

CacheKey::CacheKey(std::string_view kind) {
  add("kind", kind);
}

CacheKey& CacheKey::add(std::string_view name, std::string_view value) {
  parts_.emplace_back(name, value);
  return *this;
}

CacheKey& CacheKey::add(std::string_view name, const std::vector<std::string>& values) {
  std::string joined;
  for (const std::string& v : values) {
    // Ends each value with a NUL, which no value holds: {"a b"} and {"a", "b"} stay apart.
    joined += v;
    joined += '\0';
  }
  return add(name, joined);
}

oci::Digest CacheKey::digest() const {
  oci::Hasher hasher;
  put(hasher, "kiln step key 1");
  for (const auto& [name, value] : parts_) {
    put(hasher, name);
    put(hasher, value);
  }
  return hasher.finish();
}

std::vector<std::string> explain_difference(const KeyParts& before, const KeyParts& now) {
  std::vector<std::string> reasons;
  for (const auto& [name, value] : now) {
    const std::string* old = find(before, name);
    if (old == nullptr)
      reasons.push_back(name + " is new: " + quoted(value));
    else if (*old != value)
      reasons.push_back(changed(name, *old, value));
  }
  for (const auto& [name, value] : before)
    if (find(now, name) == nullptr) reasons.push_back(name + " is gone: " + quoted(value));
  return reasons;
}

}  // namespace kiln::solve
