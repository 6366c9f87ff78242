#include "builder/progress/progress.hh"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace kiln {

namespace {

class QuietProgress final : public Progress {
 public:
  StepId begin(std::string_view) override { return ++last_; }
  void end(StepId, Outcome) override {}
  void output(StepId, Stream, std::string_view) override {}
  void transfer(StepId, std::string_view, uint64_t, uint64_t) override {}
  void note(StepId, std::string_view) override {}
  void warn(std::string_view) override {}
  void close() override {}

 private:
  std::atomic<StepId> last_ = 0;
};

bool fit_for_drawing(int fd) {
  const char* term = getenv("TERM");
  return isatty(fd) == 1 && term != nullptr && *term != '\0' && strcmp(term, "dumb") != 0;
}

// Length of the well-formed UTF-8 sequence at the start of `text`, 0 when there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 && first < 0xf5   ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc2 && first < 0xe0 ? 2
                                                        : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  return length;
}

// Skips an escape sequence that starts at text[at] == ESC; returns the index after it.
size_t skip_escape(std::string_view text, size_t at) {
  if (++at >= text.size()) return at;
  if (text[at] == '[') {  // CSI: parameters, then one final byte
    for (++at; at < text.size(); ++at)
      if (text[at] >= 0x40 && text[at] <= 0x7e) return at + 1;
    return at;
  }
  if (text[at] == ']') {  // OSC: up to BEL or ESC backslash
    for (++at; at < text.size(); ++at) {
      if (text[at] == '\a') return at + 1;
      if (text[at] == '\x1b') return at + 2 <= text.size() ? at + 2 : text.size();
    }
    return at;
  }
  return at + 1;
}

}  // namespace

std::unique_ptr<Progress> make_quiet_progress() {
  return std::make_unique<QuietProgress>();
}

ProgressMode progress_mode(std::string_view name) {
  return name == "tty"     ? ProgressMode::terminal
         : name == "plain" ? ProgressMode::plain
         : name == "json"  ? ProgressMode::json
         : name == "quiet" ? ProgressMode::quiet
                           : ProgressMode::automatic;
}

std::unique_ptr<Progress> make_progress(ProgressMode mode, int fd) {
  if (mode == ProgressMode::automatic)
    mode = fit_for_drawing(fd) ? ProgressMode::terminal : ProgressMode::plain;
  switch (mode) {
    case ProgressMode::terminal: {
      const char* no_colour = getenv("NO_COLOR");
      return make_terminal_progress(fd, no_colour == nullptr || *no_colour == '\0');
    }
    case ProgressMode::json:
      return make_json_progress(fd);
    case ProgressMode::quiet:
      return make_quiet_progress();
    default:
      return make_plain_progress(fd);
  }
}

std::string duration_text(std::chrono::nanoseconds time) {
  const double seconds = std::chrono::duration<double>(time).count();
  char text[32];
  if (seconds < 60)
    snprintf(text, sizeof text, "%.1fs", seconds);
  else
    snprintf(text, sizeof text, "%lldm%02llds", static_cast<long long>(seconds) / 60,
             static_cast<long long>(seconds) % 60);
  return text;
}

namespace {

struct Range {
  char32_t first, last;
};

template <size_t N>
bool within(char32_t c, const Range (&ranges)[N]) {
  const auto it = std::ranges::lower_bound(ranges, c, {}, &Range::last);
  return it != std::end(ranges) && it->first <= c;
}

// Unicode's East Asian Width W and F, and the symbols that terminals draw as pictures.
constexpr Range wide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x25fd, 0x25fe},
    {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267f, 0x267f},   {0x2693, 0x2693},
    {0x26a1, 0x26a1},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},
    {0x26ce, 0x26ce},   {0x26d4, 0x26d4},   {0x26ea, 0x26ea},   {0x26f2, 0x26f5},
    {0x26fa, 0x26fd},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
    {0x274c, 0x274e},   {0x2753, 0x2757},   {0x2795, 0x2797},   {0x27b0, 0x27bf},
    {0x2b1b, 0x2b1c},   {0x2b50, 0x2b55},   {0x2e80, 0x303e},   {0x3041, 0x4dbf},
    {0x4e00, 0xa4cf},   {0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},
    {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x16fe0, 0x18dff},
    {0x1b000, 0x1b2ff}, {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f19a},
    {0x1f200, 0x1f320}, {0x1f32d, 0x1f5ff}, {0x1f600, 0x1f64f}, {0x1f680, 0x1f6ff},
    {0x1f7e0, 0x1f7eb}, {0x1f90c, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd}};
// Drawn over what stands before them.
constexpr Range combining[] = {
    {0x300, 0x36f},   {0x483, 0x489},    {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},
    {0x6d6, 0x6dc},   {0x900, 0x902},    {0xe31, 0xe31},   {0xe34, 0xe3a},   {0xe47, 0xe4e},
    {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},  {0x200b, 0x200d}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f},
    {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef}};
// Separators of lines, and what turns the direction of writing: a name could pose as another.
constexpr Range steering[] = {{0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};

// The code point of one well-formed sequence.
char32_t decode(std::string_view piece) {
  const auto byte = [&](size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(piece[i]));
  };
  if (piece.size() == 1) return byte(0);
  char32_t c = byte(0) & (0xffU >> (piece.size() + 1));
  for (size_t i = 1; i < piece.size(); ++i) c = c << 6 | (byte(i) & 0x3f);
  return c;
}

size_t width_of(char32_t c) {
  if (within(c, combining)) return 0;
  return within(c, wide) ? 2 : 1;
}

}  // namespace

size_t terminal_width(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t length = std::max<size_t>(utf8_length(text.substr(i)), 1);
    width += width_of(decode(text.substr(i, length)));
    i += length;
  }
  return width;
}

std::string terminal_text(std::string_view text, size_t columns) {
  std::string out;
  size_t width = 0;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\x1b') {
      i = skip_escape(text, i);
      continue;
    }
    const size_t length = utf8_length(text.substr(i));
    std::string_view piece = length == 0 ? std::string_view("?") : text.substr(i, length);
    i += length == 0 ? 1 : length;
    if (piece.size() == 1) {
      if (piece[0] == '\t')
        piece = " ";
      else if (static_cast<unsigned char>(piece[0]) < 0x20 || piece[0] == 0x7f)
        continue;
    } else if (piece.size() == 2 && static_cast<unsigned char>(piece[0]) == 0xc2 &&
               static_cast<unsigned char>(piece[1]) < 0xa0) {
      continue;  // C1 controls act on some terminals
    }
    const char32_t c = decode(piece);
    if (within(c, steering)) continue;
    width += width_of(c);
    if (columns != 0 && width > columns) break;
    out += piece;
  }
  return out;
}

}  // namespace kiln
