// The patterns inside ${name#pattern}. Matching is a table over (token, position), so no pattern
// can take more than tokens times characters of time.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/expander.hh"
#include "builder/sys/error.hh"

namespace kiln::dockerfile {

namespace {

using Text = std::vector<char32_t>;
constexpr size_t no_match = std::numeric_limits<size_t>::max();

struct Token {
  enum class Kind { literal, any, star } kind;
  char32_t character = 0;
};

std::vector<Token> tokens(const Text& pattern) {
  std::vector<Token> result;
  for (size_t i = 0; i < pattern.size(); ++i) {
    char32_t c = pattern[i];
    if (c == '*') {
      result.push_back({Token::Kind::star});
    } else if (c == '?') {
      result.push_back({Token::Kind::any});
    } else if (c == '\\') {
      const char32_t next = i + 1 < pattern.size() ? pattern[i + 1] : 0;
      // `\}` and `\/` protect the end of the ${} form and are no part of the pattern.
      if (next == '}' || next == '/') continue;
      if (next != '*' && next != '?' && next != '\\') {
        throw Error("invalid pattern (" + text_of(pattern) +
                    ") in substitution: invalid escape '\\" +
                    (next != 0 ? text_of({next}) : std::string()) + "'");
      }
      result.push_back({Token::Kind::literal, next});
      ++i;
    } else {
      result.push_back({Token::Kind::literal, c});
    }
  }
  return result;
}

// For every position of `value`, where the preferred match that starts there ends, or no_match.
// Worked out from the pattern's last token to its first; only two rows of the table are kept.
std::vector<size_t> match_ends(const Text& value, const std::vector<Token>& pattern, bool longest) {
  std::vector<size_t> after(value.size() + 1);  // for the tokens behind the current one
  for (size_t p = 0; p < after.size(); ++p) after[p] = p;
  std::vector<size_t> now(after.size());
  for (size_t t = pattern.size(); t-- > 0;) {
    const Token& token = pattern[t];
    for (size_t p = now.size(); p-- > 0;) {
      const bool here = p < value.size();
      // As in a regular expression, `?` and `*` do not cross a newline.
      const bool wild = here && value[p] != '\n';
      now[p] = no_match;
      if (token.kind == Token::Kind::literal) {
        if (here && value[p] == token.character) now[p] = after[p + 1];
      } else if (token.kind == Token::Kind::any) {
        if (wild) now[p] = after[p + 1];
      } else {
        const size_t stop = after[p];
        const size_t more = wild ? now[p + 1] : no_match;
        now[p] = longest ? (more != no_match ? more : stop) : (stop != no_match ? stop : more);
      }
    }
    std::swap(after, now);
  }
  return after;
}

// A pattern read backwards keeps each escape in front of its character.
Text reversed_pattern(const Text& pattern) {
  Text result;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) {
      result.push_back(pattern[i + 1]);
      result.push_back(pattern[i]);
      ++i;
    } else {
      result.push_back(pattern[i]);
    }
  }
  std::ranges::reverse(result);
  return result;
}

Text without_prefix(const Text& value, const Text& pattern, bool longest) {
  const size_t end = match_ends(value, tokens(pattern), longest)[0];
  return end == no_match ? value : Text(value.begin() + static_cast<ptrdiff_t>(end), value.end());
}

// BuildKit replaces all with Go's regexp templates, where `$0` is the match, `$$` a dollar and any
// other name nothing.
Text instantiate(const Text& replacement, const Text& match) {
  Text result;
  const auto is_name = [](char32_t c) { return is_letter(c) || is_digit(c) || c == '_'; };
  for (size_t i = 0; i < replacement.size(); ++i) {
    if (replacement[i] != '$' || i + 1 == replacement.size()) {
      result.push_back(replacement[i]);
      continue;
    }
    if (replacement[i + 1] == '$') {
      result.push_back('$');
      ++i;
      continue;
    }
    const bool braced = replacement[i + 1] == '{';
    const size_t start = i + (braced ? 2 : 1);
    size_t end = start;
    while (end < replacement.size() && is_name(replacement[end])) ++end;
    if (end == start || (braced && (end == replacement.size() || replacement[end] != '}'))) {
      result.push_back('$');
      continue;
    }
    if (end == start + 1 && replacement[start] == '0') {
      result.insert(result.end(), match.begin(), match.end());
    }
    i = braced ? end : end - 1;
  }
  return result;
}

}  // namespace

std::string trim_prefix(std::string_view value, std::string_view pattern, bool longest) {
  return text_of(without_prefix(characters(value), characters(pattern), longest));
}

std::string trim_suffix(std::string_view value, std::string_view pattern, bool longest) {
  Text text = characters(value);
  std::ranges::reverse(text);
  text = without_prefix(text, reversed_pattern(characters(pattern)), longest);
  std::ranges::reverse(text);
  return text_of(text);
}

std::string replace_pattern(std::string_view value, std::string_view pattern,
                            std::string_view replacement, bool all) {
  const Text text = characters(value);
  const Text with = characters(replacement);
  const std::vector<size_t> ends = match_ends(text, tokens(characters(pattern)), true);
  Text result;
  const auto copy = [&](size_t from, size_t to) {
    result.insert(result.end(), text.begin() + static_cast<ptrdiff_t>(from),
                  text.begin() + static_cast<ptrdiff_t>(to));
  };
  size_t copied = 0;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = ends[start];
    if (end == no_match) {
      ++start;
      continue;
    }
    copy(copied, start);
    const Text match(text.begin() + static_cast<ptrdiff_t>(start),
                     text.begin() + static_cast<ptrdiff_t>(end));
    // An empty match right behind another one is not replaced.
    if (end > copied || start == 0) {
      const Text filled = all ? instantiate(with, match) : with;
      result.insert(result.end(), filled.begin(), filled.end());
    }
    copied = end;
    if (!all) break;
    start = std::max(start + 1, end);
  }
  copy(copied, text.size());
  return text_of(result);
}

}  // namespace kiln::dockerfile
