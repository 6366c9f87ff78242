#include "builder/dockerfile/ignore.hh"

#include <algorithm>

#include "builder/dockerfile/characters.hh"
#include "builder/sys/error.hh"

namespace kiln::dockerfile {

std::string clean_path(std::string_view path) {
  if (path.empty()) return ".";
  const bool rooted = path[0] == '/';
  std::vector<std::string_view> parts;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!rooted) {
      parts.push_back(part);
    }
  }
  std::string result = rooted ? "/" : "";
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) result += '/';
    result += parts[i];
  }
  return result.empty() ? "." : result;
}

std::vector<std::string> read_ignore_file(std::string_view text) {
  std::vector<std::string> patterns;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty()) {
    const size_t newline = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, newline);
    text.remove_prefix(std::min(newline + 1, text.size()));
    if (line.starts_with('#')) continue;
    line = trim(line);
    if (line.empty()) continue;
    const bool exception = line[0] == '!';
    if (exception) line = trim(line.substr(1));
    std::string pattern = exception ? "!" : "";
    if (!line.empty()) {
      const std::string path = clean_path(line);
      pattern.append(path, path.size() > 1 && path[0] == '/' ? 1 : 0);
    }
    patterns.push_back(std::move(pattern));
  }
  return patterns;
}

IgnoreMatcher::IgnoreMatcher(const std::vector<std::string>& patterns) {
  for (const std::string& written : patterns) {
    const std::string_view trimmed = trim(written);
    if (trimmed.empty()) continue;
    std::string pattern = clean_path(trimmed);
    const bool exception = pattern[0] == '!';
    if (exception) pattern.erase(0, 1);
    if (pattern.empty()) throw Error("illegal exclusion pattern: \"!\"");
    has_exceptions_ = has_exceptions_ || exception;
    patterns_.push_back({PathPattern(pattern), exception});
  }
}

bool IgnoreMatcher::matches(std::string_view path) const {
  Parent unused;
  return matches(path, {}, unused);
}

bool IgnoreMatcher::matches(std::string_view path, const Parent& parent, Parent& result) const {
  bool matched = false;
  result.assign(patterns_.size(), false);
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const auto& [pattern, exception] = patterns_[i];
    bool match = i < parent.size() && parent[i];
    if (!match) {
      // A pattern that could not change the answer is not tried.
      if (exception != matched) continue;
      match = pattern.matches(path);
      for (size_t slash = path.find('/', 1); !match && parent.empty() && slash < path.size();
           slash = path.find('/', slash + 1)) {
        match = pattern.matches(path.substr(0, slash));
      }
    }
    result[i] = match;
    if (match) matched = !exception;
  }
  return matched;
}

bool IgnoreMatcher::ignores_everything() const {
  return !has_exceptions_ && std::ranges::any_of(patterns_, [](const Entry& entry) {
    const std::string& text = entry.pattern.text();
    return text == "*" || text == "**" || text == "**/*";
  });
}

bool IgnoreMatcher::may_hold_exception(std::string_view directory) const {
  const std::string inside = std::string(directory) + "/";
  return std::ranges::any_of(patterns_, [&](const Entry& entry) {
    if (!entry.exception) return false;
    // Up to its first wildcard the exception's text tells where it applies.
    const std::string& text = entry.pattern.text();
    const std::string literal = text.substr(0, text.find_first_of("*?[\\"));
    return literal.starts_with(inside) || inside.starts_with(literal);
  });
}

}  // namespace kiln::dockerfile
