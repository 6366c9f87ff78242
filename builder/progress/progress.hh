// Owns: what a build or a transfer reports while it works, as one stream of events, and the choice
// of who shows it. Does not own: how it looks (plain.cc, terminal.cc, json.cc) or errors at the
// end.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace kiln {

// One line of work that a person can follow: a step of a stage, a pull, an export.
using StepId = uint32_t;

enum class Outcome : uint8_t { done, cached, failed, canceled };
enum class Stream : uint8_t { out, err };

// Thread-safe. Text of foreign origin (output of commands) is passed on as it came; a renderer that
// writes to a terminal makes it fit for one.
class Progress {
 public:
  virtual ~Progress() = default;

  // `name` as a person reads it: "[builder 2/5] RUN npm ci". Ids count from 1 in order of begin().
  virtual StepId begin(std::string_view name) = 0;
  virtual void end(StepId step, Outcome outcome) = 0;
  // A line without its newline.
  virtual void output(StepId step, Stream stream, std::string_view line) = 0;
  // Bytes moved for one item (a layer, a blob) of a step; total 0 when unknown.
  virtual void transfer(StepId step, std::string_view item, uint64_t bytes, uint64_t total) = 0;
  // Why a step missed the cache (--explain) and the like: belongs to a step, is no output of it.
  virtual void note(StepId step, std::string_view text) = 0;
  virtual void warn(std::string_view text) = 0;
  // After this nothing is drawn any more; the terminal is as it was.
  virtual void close() = 0;
};

enum class ProgressMode : uint8_t { automatic, terminal, plain, json, quiet };
// As --progress names them; automatic for all else.
ProgressMode progress_mode(std::string_view name);

// Shows on `fd` (borrowed). automatic: terminal when fd is one and TERM is not "dumb", else plain.
std::unique_ptr<Progress> make_progress(ProgressMode mode, int fd);

std::unique_ptr<Progress> make_plain_progress(int fd);
// Colour unless NO_COLOR is set and not empty (no-color.org).
std::unique_ptr<Progress> make_terminal_progress(int fd, bool colour);
// One JSON object a line: {"step":1,"event":"begin","name":…,"time":seconds since the start}.
std::unique_ptr<Progress> make_json_progress(int fd);
std::unique_ptr<Progress> make_quiet_progress();

// "0.4s", "12.3s", "2m05s".
std::string duration_text(std::chrono::nanoseconds time);
// `text` without escape sequences, control characters and what turns the direction of writing,
// malformed UTF-8 as '?', cut to at most `columns` of a terminal (0: not cut), of which wide
// characters take two. Tabs become a space.
std::string terminal_text(std::string_view text, size_t columns = 0);
// Columns that a text of terminal_text takes.
size_t terminal_width(std::string_view text);

}  // namespace kiln
