// One pattern: `?` and `*` within a name, `**` across directories, `[a-z]` sets, `\` escapes.
// patternmatcher turns it into a regular expression; here it becomes tokens, and matching is a
// table over (token, position), linear in both.
#include <algorithm>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/ignore.hh"
#include "builder/sys/error.hh"

namespace kiln::dockerfile {

namespace {

[[noreturn]] void syntax_error(const std::string& pattern) {
  throw Error(pattern + ": syntax error in pattern");
}

// The rules of Go's filepath.Match for a well-formed pattern.
void check_syntax(const std::string& pattern) {
  const std::vector<char32_t> text = characters(pattern);
  size_t at = 0;
  const auto set_character = [&] {
    if (at == text.size() || text[at] == '-' || text[at] == ']') syntax_error(pattern);
    if (text[at] == '\\' && ++at == text.size()) syntax_error(pattern);
    if (++at == text.size()) syntax_error(pattern);
  };
  while (at < text.size()) {
    const char32_t c = text[at++];
    if (c == '\\') {
      if (at++ == text.size()) syntax_error(pattern);
    } else if (c == '[') {
      if (at < text.size() && text[at] == '^') ++at;
      for (bool first = true;; first = false) {
        if (!first && at < text.size() && text[at] == ']') break;
        set_character();
        if (text[at] == '-') {
          ++at;
          set_character();
        }
      }
      ++at;
    }
  }
}

}  // namespace

PathPattern::PathPattern(std::string_view cleaned) : text_(cleaned) {
  check_syntax(text_);
  compile();
}

void PathPattern::compile() {
  using enum Token::Type;
  const std::vector<char32_t> pattern = characters(text_);
  const auto is = [&](size_t i, char32_t c) { return i < pattern.size() && pattern[i] == c; };
  bool first = true;
  for (size_t at = 0; at < pattern.size(); first = false) {
    const char32_t c = pattern[at++];
    if (c == '*' && is(at, '*')) {
      ++at;
      if (is(at, '/')) ++at;
      if (at < pattern.size()) {
        tokens_.push_back({directories});
        kind_ = Kind::tokens;
      } else if (kind_ == Kind::exact) {
        kind_ = Kind::prefix;
      } else {
        tokens_.push_back({anything});
        kind_ = Kind::tokens;
      }
      if (first) kind_ = Kind::suffix;
    } else if (c == '*') {
      tokens_.push_back({any_not_slash});
      kind_ = Kind::tokens;
    } else if (c == '?') {
      tokens_.push_back({not_slash});
      kind_ = Kind::tokens;
    } else if (c == '[') {
      compile_set(pattern, at);
      kind_ = Kind::tokens;
    } else if (c == '\\' && at < pattern.size()) {
      tokens_.push_back({literal, pattern[at++]});
      kind_ = Kind::tokens;
    } else {
      tokens_.push_back({literal, c});
      if (c == ']') kind_ = Kind::tokens;
    }
  }
}

void PathPattern::compile_set(const std::vector<char32_t>& pattern, size_t& at) {
  Token token{Token::Type::set};
  token.negated = pattern[at] == '^';
  if (token.negated) ++at;
  const auto next = [&] {
    if (pattern[at] == '\\') ++at;
    return pattern[at++];
  };
  while (pattern[at] != ']') {
    const char32_t low = next();
    char32_t high = low;
    if (pattern[at] == '-') {
      ++at;
      high = next();
    }
    if (high < low) broken_ = true;
    token.ranges.push_back({low, high});
  }
  ++at;
  tokens_.push_back(std::move(token));
}

bool PathPattern::accepts(const Token& token, char32_t c) {
  switch (token.type) {
    case Token::Type::literal:
      return c == token.character;
    case Token::Type::not_slash:
      return c != '/';
    default:
      return token.negated != std::ranges::any_of(token.ranges, [c](const Range& range) {
               return range.low <= c && c <= range.high;
             });
  }
}

bool PathPattern::matches(std::string_view path) const {
  if (broken_) syntax_error(text_);
  switch (kind_) {
    case Kind::exact:
      return path == text_;
    case Kind::prefix:
      return path.starts_with(std::string_view(text_).substr(0, text_.size() - 2));
    case Kind::suffix: {
      const std::string_view suffix = std::string_view(text_).substr(2);
      return path.ends_with(suffix) || (suffix.starts_with('/') && path == suffix.substr(1));
    }
    case Kind::tokens:
      return match_tokens(path);
  }
  return false;
}

bool PathPattern::match_tokens(std::string_view path) const {
  const std::vector<char32_t> text = characters(path);
  // after[p]: the tokens behind the current one match the text from p on.
  std::vector<bool> after(text.size() + 1, false);
  after[text.size()] = true;
  std::vector<bool> now(text.size() + 1);
  for (size_t t = tokens_.size(); t-- > 0;) {
    const Token& token = tokens_[t];
    bool behind_slash = false;  // directories: some position behind a later slash matches
    for (size_t p = text.size() + 1; p-- > 0;) {
      const bool here = p < text.size();
      switch (token.type) {
        case Token::Type::any_not_slash:
          now[p] = after[p] || (here && text[p] != '/' && now[p + 1]);
          break;
        case Token::Type::anything:
          now[p] = after[p] || (here && text[p] != '\n' && now[p + 1]);
          break;
        case Token::Type::directories:
          // As `(.*/)?`: nothing, or all up to some slash; `.` is no newline.
          if (here && text[p] == '\n') behind_slash = false;
          if (here && text[p] == '/') behind_slash = behind_slash || after[p + 1];
          now[p] = after[p] || behind_slash;
          break;
        default:
          now[p] = here && accepts(token, text[p]) && after[p + 1];
      }
    }
    std::swap(after, now);
  }
  return after[0];
}

}  // namespace kiln::dockerfile
