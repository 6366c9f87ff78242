#include "builder/cli/output.hh"

#include <algorithm>
#include <cstdio>

#include "builder/sys/error.hh"

namespace kiln::cli {

void print(std::string_view text) {
  if (fwrite(text.data(), 1, text.size(), stdout) != text.size())
    throw SysError("write standard output");
}

void flush_output() {
  if (fflush(stdout) != 0) throw SysError("write standard output");
}

namespace {

// Length of the well-formed UTF-8 sequence at the start of `text`, 0 when malformed.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  if (length == 3 && ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)))
    return 0;
  if (length == 4 && ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)))
    return 0;
  return length;
}

}  // namespace

std::string printable(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    // C1 controls (U+0080 to U+009F) steer terminals as ESC does.
    const bool c1 = length == 2 && first == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
    if (length == 0 || first < 0x20 || first == 0x7f || c1) {
      const size_t bad = std::max<size_t>(length, 1);
      for (size_t i = 0; i < bad; ++i) {
        const auto b = static_cast<unsigned char>(text[i]);
        out += "\\x";
        out += digits[b >> 4];
        out += digits[b & 15];
      }
      text.remove_prefix(bad);
      continue;
    }
    out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

std::string message_text(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\n\t"), text.size());
    out += printable(text.substr(0, end));
    if (end < text.size()) out += text[end];
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  const auto shown = [](const std::string& s) {  // code points, good enough for alignment
    return static_cast<size_t>(std::ranges::count_if(
        s, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  };
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) {
      if (i == widths.size()) widths.push_back(0);
      widths[i] = std::max(widths[i], shown(row[i]));
    }
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out += std::string(widths[i] + 3 - shown(row[i]), ' ');
    }
    out += '\n';
  }
  return out;
}

std::string human_size(int64_t bytes) {
  static constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  char buffer[32];
  snprintf(buffer, sizeof buffer,
           value < 9.995 && unit > 0   ? "%.2f%s"
           : value < 99.95 && unit > 0 ? "%.1f%s"
                                       : "%.0f%s",
           value, units[unit]);
  return buffer;
}

std::string human_age(int64_t then, int64_t now) {
  const int64_t seconds = std::max<int64_t>(0, now - then);
  static constexpr struct {
    int64_t length;
    const char* name;
  } units[] = {{365 * 86400, "year"}, {30 * 86400, "month"}, {7 * 86400, "week"}, {86400, "day"},
               {3600, "hour"},        {60, "minute"},        {1, "second"}};
  for (const auto& unit : units)
    if (seconds >= unit.length) {
      const int64_t n = seconds / unit.length;
      return std::to_string(n) + " " + unit.name + (n == 1 ? "" : "s") + " ago";
    }
  return "just now";
}

std::string short_id(std::string_view digest) {
  const size_t colon = digest.find(':');
  if (colon != digest.npos) digest.remove_prefix(colon + 1);
  return std::string(digest.substr(0, 12));
}

}  // namespace kiln::cli
