#include "runtime/operations/logs.hh"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "runtime/container/monitored.hh"
#include "runtime/container/status.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

constexpr size_t chunk_size = 65536;

// Gathers output for two streams and keeps the order in which they alternate.
class Printer {
 public:
  Printer(bool timestamps, std::string since) : timestamps_(timestamps), since_(std::move(since)) {}

  void add(std::string_view line) {
    auto parsed = parse_log_line(line);
    if (!parsed || parsed->time < since_) return;
    if (parsed->err != err_ || text_.size() > chunk_size) flush();
    err_ = parsed->err;
    // A line that was cut into parts gets one stamp.
    if (timestamps_ && begins_[err_]) text_.append(parsed->time).append(" ");
    text_ += parsed->text;
    if (parsed->whole) text_ += '\n';
    begins_[err_] = parsed->whole;
  }

  void flush() {
    if (text_.empty()) return;
    write_all(err_ ? STDERR_FILENO : STDOUT_FILENO, text_, err_ ? "stderr" : "stdout");
    text_.clear();
  }

 private:
  bool timestamps_;
  std::string since_, text_;
  bool err_ = false;
  bool begins_[2] = {true, true};
};

class LogFile {
 public:
  explicit LogFile(Fd file) : file_(std::move(file)) {}

  // Moves on to where the last `count` lines begin; gives how many there are, at most `count`.
  uint64_t seek_tail(uint64_t count) {
    struct stat st {};
    if (::fstat(file_.get(), &st) < 0) throw SysError("stat the log");
    uint64_t found = 0;
    off_t end = st.st_size, at = end;
    std::vector<char> chunk(chunk_size);
    while (at > 0) {
      off_t begin = std::max<off_t>(0, at - static_cast<off_t>(chunk_size));
      ssize_t length = ::pread(file_.get(), chunk.data(), static_cast<size_t>(at - begin), begin);
      if (length <= 0) break;
      for (ssize_t i = length - 1; i >= 0; --i) {
        // The newline that ends the last line begins none.
        if (chunk[static_cast<size_t>(i)] != '\n' || begin + i == end - 1) continue;
        if (++found == count) {
          offset_ = begin + i + 1;
          return count;
        }
      }
      at = begin;
    }
    offset_ = 0;
    return end > 0 ? found + 1 : 0;
  }
  void seek_end() {
    struct stat st {};
    if (::fstat(file_.get(), &st) == 0) offset_ = st.st_size;
  }

  // Prints the whole lines up to the present end.
  void print_to(Printer& printer) {
    std::vector<char> chunk(chunk_size);
    for (;;) {
      ssize_t length = ::pread(file_.get(), chunk.data(), chunk.size(), offset_);
      if (length < 0) throw SysError("read the log");
      if (length == 0) break;
      offset_ += length;
      rest_.append(chunk.data(), static_cast<size_t>(length));
      size_t begin = 0, end = 0;
      while ((end = rest_.find('\n', begin)) != rest_.npos) {
        printer.add(std::string_view(rest_).substr(begin, end - begin));
        begin = end + 1;
      }
      rest_.erase(0, begin);
    }
    printer.flush();
  }

  // Whether the file of that name is another one by now.
  bool is_rotated(const std::string& path) const {
    struct stat mine {
    }, there{};
    if (::fstat(file_.get(), &mine) < 0 || ::stat(path.c_str(), &there) < 0) return false;
    return mine.st_ino != there.st_ino || mine.st_dev != there.st_dev;
  }

 private:
  Fd file_;
  off_t offset_ = 0;
  std::string rest_;
};

std::optional<LogFile> try_open_log(const std::string& path) {
  Fd file = try_open_file(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (!file && errno == ENOENT) return std::nullopt;
  if (!file) throw SysError("open " + path);
  return LogFile(std::move(file));
}

void follow(LogFile file, const std::string& path, const Fd& monitor, Printer& printer) {
  Fd events(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!events) throw SysError("inotify_init1");
  auto watch = [&] {
    ::inotify_add_watch(events.get(), path.c_str(), IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF);
  };
  watch();
  for (bool running = true; running;) {
    // In this order: what was written before the monitor ended is read after it was seen to end.
    pollfd ended{monitor.get(), POLLIN, 0};
    running = monitor && ::poll(&ended, 1, 0) == 0;
    file.print_to(printer);
    while (file.is_rotated(path)) {
      file.print_to(printer);
      auto next = try_open_log(path);
      if (!next) break;
      file = std::move(*next);
      watch();
      file.print_to(printer);
    }
    if (!running) return;
    pollfd wait[2] = {{events.get(), POLLIN, 0}, {monitor.get(), POLLIN, 0}};
    if (::poll(wait, 2, -1) < 0 && errno != EINTR) throw SysError("poll");
    char buffer[4096];
    while (::read(events.get(), buffer, sizeof buffer) > 0) continue;
  }
}

}  // namespace

std::optional<LogLine> parse_log_line(std::string_view line) {
  const size_t first = line.find(' ');
  if (first == line.npos) return std::nullopt;
  const size_t second = line.find(' ', first + 1);
  if (second == line.npos || second + 2 > line.size()) return std::nullopt;
  LogLine parsed;
  parsed.time = line.substr(0, first);
  const std::string_view stream = line.substr(first + 1, second - first - 1);
  if (stream != "stdout" && stream != "stderr") return std::nullopt;
  parsed.err = stream == "stderr";
  parsed.whole = line[second + 1] == 'F';
  parsed.text = line.substr(std::min(second + 3, line.size()));
  return parsed;
}

void print_logs(const LogsRequest& request) {
  Container c = open_container(request.root, request.id, false);
  auto record = try_read_monitored(c.dir);
  if (!record)
    throw Error("container " + request.id +
                " has no log: only those started with `run --detach --log-output` have one");
  Fd monitor = open_monitor(*record);
  Printer printer(request.timestamps, request.since);
  auto older = try_open_log(record->log + ".1");
  auto current = try_open_log(record->log);
  if (!current) throw Error("log " + record->log + " is gone");
  if (request.tail == 0u) {
    current->seek_end();
  } else if (request.tail) {
    uint64_t found = current->seek_tail(*request.tail);
    if (older && found < *request.tail)
      older->seek_tail(*request.tail - found);
    else
      older.reset();
  }
  if (older && request.tail != 0u) older->print_to(printer);
  if (!request.follow) {
    current->print_to(printer);
    return;
  }
  follow(std::move(*current), record->log, monitor, printer);
}

}  // namespace vessel
