// Owns: a container's log file: lines stamped as they come, and rotation.
// Does not own: where the output comes from (monitor.cc), or reading the file (logs.hh).
//
// A line is "TIME STREAM TAG TEXT\n", the format that Kubernetes' CRI defines and its tools read:
// RFC 3339 with nanoseconds, "stdout" or "stderr", "F" for a whole line and "P" for one without its
// newline (longer than most_text, or the last words of a process).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/sys/fd.hh"

namespace vessel {

inline constexpr uint64_t default_log_size = 10 << 20;

class LogWriter {
 public:
  static constexpr size_t most_text = 16384;  // bytes of one line

  // Appends to `path` (absolute; made with mode 0640), or begins it anew. With `most` bytes it is
  // renamed to PATH.1, whose place it takes. Throws SysError, Error when it is no regular file.
  LogWriter(std::string path, uint64_t most, bool anew);

  enum class Stream : uint8_t { out, err };
  // Never throws: a full disk must not stop the container. What cannot be written is lost.
  void add(Stream stream, std::string_view data) noexcept;
  // Writes what has no newline yet.
  void finish() noexcept;

  int fd() const { return file_.get(); }

 private:
  void open_it(int flags);
  void put(Stream stream, char tag, std::string_view text, std::string& to);
  void write_out(std::string_view lines);  // whole lines
  void rotate();

  std::string path_;
  uint64_t most_, size_ = 0;
  Fd file_;
  std::string rest_[2];  // by stream
};

}  // namespace vessel
