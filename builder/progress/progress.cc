#include "builder/progress/progress.hh"

#include <unistd.h>

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
    if (columns != 0 && ++width > columns) break;
    out += piece;
  }
  return out;
}

}  // namespace kiln
