#include "builder/dockerfile/source.hh"

#include <algorithm>
#include <utility>

#include "builder/dockerfile/characters.hh"
#include "builder/sys/url_credentials.hh"

namespace kiln::dockerfile {

Source::Source(std::string name, std::string text)
    : name_(std::move(name)), text_(std::move(text)) {
  for (size_t start = 0; start < text_.size();) {
    starts_.push_back(start);
    const size_t newline = text_.find('\n', start);
    start = newline == std::string::npos ? text_.size() : newline + 1;
  }
}

std::string_view Source::line(size_t number) const {
  if (number == 0 || number > starts_.size()) return {};
  const size_t start = starts_[number - 1];
  const size_t end = number == starts_.size() ? text_.size() : starts_[number];
  std::string_view line = std::string_view(text_).substr(start, end - start);
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

SourceRange Source::range(size_t begin, size_t end) const {
  begin = std::min(begin, text_.size());
  end = std::clamp(end, begin, text_.size());
  const auto line_of = [&](size_t offset) {
    const auto after = std::ranges::upper_bound(starts_, offset);
    return std::max<size_t>(1, static_cast<size_t>(after - starts_.begin()));
  };
  return {begin, end, line_of(begin), line_of(end > begin ? end - 1 : begin)};
}

SourceRange Source::lines(size_t first, size_t last) const {
  if (starts_.empty()) return {};
  first = std::clamp<size_t>(first, 1, starts_.size());
  last = std::clamp(last, first, starts_.size());
  const std::string_view head = line(first);
  const size_t indent = head.size() - trim_left(head).size();
  const size_t begin = starts_[first - 1] + (indent == head.size() ? 0 : indent);
  const size_t end = starts_[last - 1] + trim_right(line(last)).size();
  return {begin, std::max(begin, end), first, last};
}

SourceRange Source::find(const SourceRange& within, std::string_view text) const {
  const std::string_view whole =
      std::string_view(text_).substr(within.begin, within.end - within.begin);
  const size_t at = text.empty() ? std::string_view::npos : whole.find(text);
  if (at == std::string_view::npos) return within;
  return range(within.begin + at, within.begin + at + text.size());
}

std::string Source::position(const SourceRange& range) const {
  return name_ + ":" + std::to_string(range.first_line);
}

std::string Source::excerpt(const SourceRange& range) const {
  if (range.first_line == 0 || range.first_line > starts_.size()) return {};
  const std::string number = std::to_string(range.first_line);
  // Errors end up in logs.
  const std::string text = with_masked_credentials(line(range.first_line));
  const size_t start = starts_[range.first_line - 1];
  const size_t column = std::min(range.begin > start ? range.begin - start : 0, text.size());
  const size_t last = std::clamp(range.end > start ? range.end - start : 0, column, text.size());

  std::string result = "  " + number + " | " + visible(text) + "\n  ";
  result += std::string(number.size(), ' ') + " | ";
  // Tabs stay tabs, so that the caret stands below its character in any terminal.
  for (const char32_t c : characters(std::string_view(text).substr(0, column)))
    result += c == '\t' ? '\t' : ' ';
  const size_t width = characters(std::string_view(text).substr(column, last - column)).size();
  return result + std::string(std::max<size_t>(1, width), '^');
}

DockerfileError::DockerfileError(const Source& source, const SourceRange& range,
                                 const std::string& message, std::string hint)
    : Error(source.position(range) + ": " + visible(without_credentials(message))),
      range_(range),
      reason_(visible(without_credentials(message))),
      excerpt_(source.excerpt(range)),
      hint_(std::move(hint)) {}

std::string DockerfileError::render() const {
  std::string text = message();
  if (!excerpt_.empty()) text += "\n" + excerpt_;
  if (!hint_.empty()) text += "\n" + hint_;
  return text;
}

}  // namespace kiln::dockerfile
