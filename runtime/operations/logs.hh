// Owns: `logs`: reading and following the log of a monitored container.
// Does not own: writing it (log_writer.hh).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vessel {

struct LogsRequest {
  std::string root, id;
  bool follow = false, timestamps = false;
  std::optional<uint64_t> tail;  // that many lines from the end
  std::string since;             // a stamp as the log has it; empty: from the beginning
};

// Writes to stdout and stderr what the container wrote to each. With `follow` until it has ended.
// Throws Error when the container has no log.
void print_logs(const LogsRequest& request);

// One line of the log file. `text` lacks the newline that a whole line has.
struct LogLine {
  std::string_view time, text;
  bool err = false, whole = true;
};
std::optional<LogLine> parse_log_line(std::string_view line);

// "10m", "1h30m", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+01:00", "2026-01-31" or seconds
// since the epoch, as a stamp. `now` is in seconds since the epoch. nullopt when it is none of
// them.
std::optional<std::string> log_stamp(std::string_view text, int64_t now);

}  // namespace vessel
