#include "runtime/operations/log_writer.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/log.hh"

namespace vessel {

LogWriter::LogWriter(std::string path, uint64_t most, bool anew)
    : path_(std::move(path)), most_(most) {
  if (anew) ::unlink((path_ + ".1").c_str());
  open_it(anew ? O_TRUNC : 0);
}

void LogWriter::open_it(int flags) {
  // O_NONBLOCK: a FIFO without a reader must not hang; it is refused below.
  Fd file = open_file(
      AT_FDCWD, path_,
      O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | (flags & ~O_TRUNC),
      0640);
  struct stat st {};
  if (::fstat(file.get(), &st) < 0) throw SysError("stat " + path_);
  if (!S_ISREG(st.st_mode)) throw Error("log " + path_ + ": not a regular file");
  if ((flags & O_TRUNC) && ::ftruncate(file.get(), 0) < 0) throw SysError("truncate " + path_);
  size_ = (flags & O_TRUNC) ? 0 : static_cast<uint64_t>(st.st_size);
  file_ = std::move(file);
}

void LogWriter::put(Stream stream, char tag, std::string_view text, std::string& to) {
  to += log::now(true);
  to += stream == Stream::out ? " stdout " : " stderr ";
  to += tag;
  to += ' ';
  to += text;
  to += '\n';
}

void LogWriter::rotate() {
  // Where it cannot be renamed the file begins again: it must not grow without end.
  open_it(::rename(path_.c_str(), (path_ + ".1").c_str()) < 0 ? O_TRUNC : 0);
}

void LogWriter::write_out(std::string_view lines) {
  while (!lines.empty()) {
    // As many lines as still fit, at least one into an empty file.
    size_t take = lines.size();
    if (size_ + take > most_) {
      const size_t room = size_ < most_ ? most_ - size_ : 0;
      const size_t end = room > 0 ? lines.rfind('\n', room - 1) : lines.npos;
      take = end == lines.npos ? 0 : end + 1;
      if (take == 0 && size_ == 0) take = lines.find('\n') + 1;
    }
    write_all(file_.get(), lines.substr(0, take), path_);
    size_ += take;
    lines.remove_prefix(take);
    if (!lines.empty()) rotate();
  }
}

void LogWriter::add(Stream stream, std::string_view data) noexcept {
  try {
    std::string& rest = rest_[static_cast<size_t>(stream)];
    std::string lines;
    while (!data.empty()) {
      size_t end = data.find('\n');
      size_t take = std::min(end == data.npos ? data.size() : end, most_text - rest.size());
      rest += data.substr(0, take);
      data.remove_prefix(take);
      if (!data.empty() && data[0] == '\n') {
        put(stream, 'F', rest, lines);
        rest.clear();
        data.remove_prefix(1);
      } else if (rest.size() == most_text) {
        put(stream, 'P', rest, lines);
        rest.clear();
      }
    }
    if (!lines.empty()) write_out(lines);
  } catch (const std::exception& e) {
    log::write(log::Level::warning, e.what());
  }
}

void LogWriter::finish() noexcept {
  try {
    std::string lines;
    for (Stream stream : {Stream::out, Stream::err}) {
      std::string& rest = rest_[static_cast<size_t>(stream)];
      if (!rest.empty()) put(stream, 'P', rest, lines);
      rest.clear();
    }
    if (!lines.empty()) write_out(lines);
  } catch (const std::exception& e) {
    log::write(log::Level::warning, e.what());
  }
}

}  // namespace vessel
