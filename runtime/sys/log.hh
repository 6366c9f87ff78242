// Owns: --log, --log-format and --debug: one line an event, on stderr or in the file.
// Does not own: which events there are, or exit codes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vessel::log {

enum class Level : uint8_t { debug, info, warning, error };

// `path` empty: stderr. `json`: one object a line, else logrus' text: time="…" level=… msg="…".
// The file is opened for appending and kept. Throws SysError.
void open(const std::string& path, bool json, bool debug);

// A log on stderr goes to a duplicate from now on: stderr is about to become something else.
void keep_stderr();
// Ends that: nothing more is logged unless it goes to a file, whose descriptor is given; else -1.
int let_go_of_stderr();

bool debugging();
void write(Level level, std::string_view message);

// With --debug: MESSAGE and the time since the program began, in µs; nothing otherwise.
void step(std::string_view message);

void warn(std::string_view message);

// A warning beside an error line to come: to stderr only, for of a command that failed callers read
// the whole log as one JSON object.
void aside(std::string_view message);

// The command's one error line: into the log, and to stderr too when the log is a file, as callers
// read either.
void fail(std::string_view message);

// The line without its newline, for tests. `time` is RFC 3339.
std::string format_line(bool json, std::string_view time, Level level, std::string_view message);

// RFC 3339 in UTC of now: with nanoseconds as state files want it, or whole seconds.
std::string now(bool nanoseconds);

}  // namespace vessel::log
