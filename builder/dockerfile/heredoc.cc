#include "builder/dockerfile/heredoc.hh"

#include <algorithm>
#include <charconv>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/expander.hh"
#include "builder/sys/error.hh"

namespace kiln::dockerfile {

namespace {

ptrdiff_t quote_count(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return c == '\'' || c == '"'; });
}

}  // namespace

std::optional<Heredoc> parse_heredoc_word(std::string_view word) {
  Heredoc heredoc;
  const size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
  if (digits > 0) {
    const auto [end, error] =
        std::from_chars(word.data(), word.data() + digits, heredoc.descriptor);
    if (error != std::errc()) heredoc.descriptor = 0;
  }
  word.remove_prefix(digits);
  if (!word.starts_with("<<")) return std::nullopt;
  word.remove_prefix(2);
  heredoc.chomp = word.starts_with('-');
  if (heredoc.chomp) word.remove_prefix(1);
  word.remove_prefix(std::min(word.find_first_not_of(" \t\n\f\r"), word.size()));
  if (word.empty() || word.contains('<')) return std::nullopt;

  const auto lookup = [](std::string_view) { return std::optional<std::string>(); };
  const Expanded plain = expand_word(word, lookup, {.keep_unset = true});
  if (plain.words.size() != 1) return std::nullopt;
  const Expanded raw = expand_word(word, lookup, {.raw_quotes = true, .keep_unset = true});
  heredoc.name = plain.words[0];
  // Fewer quotes after their removal: some part was quoted, so the body is taken as it is.
  heredoc.expand = raw.words.size() == 1 && quote_count(raw.words[0]) == quote_count(heredoc.name);
  return heredoc;
}

std::vector<Heredoc> heredocs_of_line(std::string_view line) {
  std::vector<Heredoc> heredocs;
  Expanded split;
  try {
    split = expand_word(line, {}, {.raw_quotes = true, .raw_escapes = true, .keep_unset = true});
  } catch (const Error&) {
    return heredocs;
  }
  for (const std::string& word : split.words) {
    if (auto heredoc = parse_heredoc_word(word)) heredocs.push_back(std::move(*heredoc));
  }
  return heredocs;
}

std::string chomp_tabs(std::string_view content) {
  std::string result;
  bool line_start = true;
  for (const char c : content) {
    if (line_start && c == '\t') continue;
    result += c;
    line_start = c == '\n';
  }
  return result;
}

}  // namespace kiln::dockerfile
