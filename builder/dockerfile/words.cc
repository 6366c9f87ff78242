#include "builder/dockerfile/words.hh"

#include "builder/dockerfile/characters.hh"

namespace kiln::dockerfile {

namespace {

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// Takes the leading `--…` words from `text` and leaves the rest in it.
std::vector<std::string> take_flags(std::string_view& text, char escape) {
  std::vector<std::string> flags;
  for (;;) {
    size_t at = 0;
    while (at < text.size() && is_blank(text[at])) ++at;
    text.remove_prefix(at);
    if (!text.starts_with("--")) return flags;

    std::string flag;
    char quote = 0;
    for (at = 0; at < text.size(); ++at) {
      const char c = text[at];
      if (quote == 0 && is_blank(c)) break;
      if (quote == 0 && (c == '\'' || c == '"')) {
        quote = c;
      } else if (c == quote) {
        quote = 0;
      } else if (c == escape) {
        if (at + 1 == text.size()) continue;  // an escape at the very end is dropped
        flag += text[++at];
      } else {
        flag += c;
      }
    }
    text.remove_prefix(at);
    if (flag == "--") return flags;
    flags.push_back(std::move(flag));
  }
}

}  // namespace

CommandParts split_command(std::string_view line, char escape) {
  const std::vector<std::string> halves = split_blank(trim(line), 2);
  CommandParts parts;
  parts.keyword = halves[0];
  if (halves.size() == 2) {
    std::string_view rest = halves[1];
    parts.flags = take_flags(rest, escape);
    parts.arguments = trim(rest);
  }
  return parts;
}

std::vector<std::string> split_quoted(std::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = next_character(text, at);
    const std::string_view bytes = text.substr(start, at - start);
    if (quote == 0 && is_space(c)) {
      if (in_word && !word.empty()) words.push_back(std::move(word));
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    if (quote != 0 && c == static_cast<char32_t>(quote)) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = static_cast<char>(c);
    } else if (c == static_cast<char32_t>(escape) && quote != '\'') {
      if (at == text.size()) break;  // an escape at the very end is dropped
      word += bytes;
      const size_t escaped = at;
      next_character(text, at);
      word += text.substr(escaped, at - escaped);
      continue;
    }
    word += bytes;
  }
  if (in_word && !word.empty()) words.push_back(std::move(word));
  return words;
}

std::vector<std::string> split_blank(std::string_view text, size_t limit) {
  static constexpr std::string_view blanks = "\t\v\f\r ";
  std::vector<std::string> parts;
  while (limit == 0 || parts.size() + 1 < limit) {
    const size_t end = text.find_first_of(blanks);
    if (end == std::string_view::npos) break;
    parts.emplace_back(text.substr(0, end));
    const size_t next = text.find_first_not_of(blanks, end);
    text.remove_prefix(next == std::string_view::npos ? text.size() : next);
  }
  parts.emplace_back(text);
  return parts;
}

}  // namespace kiln::dockerfile
