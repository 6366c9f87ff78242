#include "builder/cli/text_file.hh"

#include <fcntl.h>
#include <unistd.h>

#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"

namespace kiln::cli {

namespace {

constexpr size_t most_bytes = size_t{16} << 20;

std::string read_all(int fd, const std::string& path) {
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw SysError("read " + path);
    if (count == 0) return text;
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > most_bytes) throw Error(path + ": larger than 16 MiB");
  }
}

}  // namespace

std::string read_text_file(const std::string& path) {
  if (path == "-") return read_all(STDIN_FILENO, "standard input");
  auto text = try_read_text_file(path);
  if (!text) throw SysError("open " + path, ENOENT);
  return *std::move(text);
}

std::optional<std::string> try_read_text_file(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) {
    if (errno == ENOENT) return std::nullopt;
    throw SysError("open " + path);
  }
  return read_all(fd.get(), path);
}

}  // namespace kiln::cli
