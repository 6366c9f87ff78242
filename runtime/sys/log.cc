#include "runtime/sys/log.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

#include "runtime/sys/date.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel::log {

namespace {

struct Sink {
  int fd = STDERR_FILENO;
  bool json = false, debug = false;
  bool file = false, duplicate = false;
  timespec begin{};
};
Sink sink;

const char* name_of(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warning:
      return "warning";
    case Level::error:
      break;
  }
  return "error";
}

// Bytes of the UTF-8 sequence that `text` begins with, 0 for what is none (RFC 3629, section 4).
size_t utf8_length(std::string_view text) {
  const auto at = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto follows = [&](size_t i) { return (at(i) & 0xc0U) == 0x80; };
  const unsigned first = at(0), second = at(1);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool overlong = first == 0xe0 && second < 0xa0,
               surrogate = first == 0xed && second > 0x9f;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool overlong = first == 0xf0 && second < 0x90, beyond = first == 0xf4 && second > 0x8f;
    return follows(1) && follows(2) && follows(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

// What a terminal or a JSON reader would not take as text is escaped or replaced; in `quoted` text
// quotes, too, where JSON strings and Go's %q agree on the escapes used here.
void append_escaped(std::string& out, std::string_view text, bool quoted) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && (c == '"' || c == '\\')) {
      out += {'\\', c};
    } else if (c == '\n' || c == '\t' || c == '\r') {
      if (quoted || c == '\r')
        out += {'\\', c == '\n' ? 'n' : c == '\t' ? 't' : 'r'};
      else
        out += c;
    } else if (const size_t length = utf8_length(text.substr(i)); length == 0) {
      out += "\xef\xbf\xbd";  // U+FFFD: bytes that are no text would make the line no JSON
    } else {
      // Terminals obey U+0080 to U+009F as they do the controls of ASCII.
      const bool c1 = c == '\xc2' && static_cast<unsigned char>(text[i + 1]) < 0xa0;
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c1) {
        char code[8];
        std::snprintf(code, sizeof code, "\\u%04x",
                      static_cast<unsigned>(static_cast<unsigned char>(c1 ? text[i + 1] : c)));
        out += code;
      } else {
        out += text.substr(i, length);
      }
      i += length - 1;
    }
  }
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text, true);
  out += '"';
}

void put(int fd, std::string line) {
  line += '\n';
  // A log that cannot be written must not fail the command.
  [[maybe_unused]] ssize_t ignored = ::write(fd, line.data(), line.size());
}

}  // namespace

std::string now(bool nanoseconds) {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return write_date({t.tv_sec, t.tv_nsec}, nanoseconds);
}

std::string format_line(bool json, std::string_view time, Level level, std::string_view message) {
  std::string line;
  if (json) {
    line = "{\"level\":\"";
    line.append(name_of(level)).append("\",\"msg\":");
    append_quoted(line, message);
    line.append(",\"time\":\"").append(time).append("\"}");
  } else {
    line = "time=\"";
    line.append(time).append("\" level=").append(name_of(level)).append(" msg=");
    append_quoted(line, message);
  }
  return line;
}

void open(const std::string& path, bool json, bool debug) {
  ::clock_gettime(CLOCK_MONOTONIC, &sink.begin);
  sink.json = json;
  sink.debug = debug;
  sink.file = !path.empty();
  if (sink.file)
    sink.fd = open_file(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0644).release();
  else if (debug)  // the container's process gets another stderr where it has a terminal
    sink.fd = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
}

void keep_stderr() {
  if (sink.fd == STDERR_FILENO) sink.fd = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
  sink.duplicate = sink.duplicate || !sink.file;
}

int let_go_of_stderr() {
  if (!sink.duplicate) return sink.fd;
  ::close(sink.fd);
  return sink.fd = -1;
}

bool debugging() {
  return sink.debug;
}

void write(Level level, std::string_view message) {
  if (level == Level::debug && !sink.debug) return;
  put(sink.fd, format_line(sink.json, now(false), level, message));
}

void step(std::string_view message) {
  if (!sink.debug) return;
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  int64_t us = (t.tv_sec - sink.begin.tv_sec) * 1000000 + (t.tv_nsec - sink.begin.tv_nsec) / 1000;
  write(Level::debug, std::string(message) + " (" + std::to_string(us) + " µs)");
}

void warn(std::string_view message) {
  write(Level::warning, message);
}

void aside(std::string_view message) {
  if (!sink.json || sink.file)
    put(STDERR_FILENO, format_line(false, now(false), Level::warning, message));
}

void fail(std::string_view message) {
  std::string line = format_line(sink.json, now(false), Level::error, message);
  put(sink.fd, line);
  // As runc: plain where the log is elsewhere, as a caller shows it.
  if (!sink.file) return;
  std::string plain;
  append_escaped(plain, message, false);
  put(STDERR_FILENO, plain);
}

}  // namespace vessel::log
