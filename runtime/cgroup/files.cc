#include "runtime/cgroup/files.hh"

#include <dirent.h>
#include <fcntl.h>

#include <charconv>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

std::string join(std::string_view dir, std::string_view file) {
  std::string path(dir);
  path += '/';
  path += file;
  return path;
}

}  // namespace

Fd try_open_cgroup(std::string_view dir, std::string_view file, int flags) {
  return Fd(::open(join(dir, file).c_str(), flags | O_CLOEXEC));
}

std::expected<std::string, int> try_read_cgroup(std::string_view dir, std::string_view file) {
  Fd fd = try_open_cgroup(dir, file, O_RDONLY);
  if (!fd) return std::unexpected(errno);
  std::string text;
  char buffer[4096];
  for (;;) {
    ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::unexpected(errno);
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    // Most files are one short line: a second read only to see the end would double the cost.
    if (static_cast<size_t>(n) < 512) return text;
  }
}

int try_write_cgroup(std::string_view dir, std::string_view file, std::string_view value) {
  Fd fd = try_open_cgroup(dir, file, O_WRONLY);
  if (!fd) return errno;
  for (;;) {
    ssize_t n = ::write(fd.get(), value.data(), value.size());
    if (n < 0 && errno == EINTR) continue;
    return n < 0 ? errno : 0;
  }
}

std::string read_cgroup(std::string_view dir, std::string_view file) {
  auto text = try_read_cgroup(dir, file);
  if (!text) throw SysError("read " + join(dir, file), text.error());
  return std::move(*text);
}

void write_cgroup(std::string_view dir, std::string_view file, std::string_view value) {
  if (int error = try_write_cgroup(dir, file, value))
    throw SysError("write " + std::string(value) + " to " + join(dir, file), error);
}

std::vector<std::string> child_cgroups(std::string_view dir) {
  std::vector<std::string> names;
  const Fd directory(::open(std::string(dir).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return names;
  // readdir(3) takes 32 KiB, of which the first and the last page are touched anew.
  alignas(dirent64) char entries[2048];
  for (ssize_t got; (got = ::getdents64(directory.get(), entries, sizeof entries)) > 0;)
    for (ssize_t at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(entries + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
    }
  return names;
}

std::string_view trim(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find_first_of(separators, at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::optional<uint64_t> parse_counter(std::string_view text) {
  text = trim(text);
  if (text == "max") return UINT64_MAX;
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return {};
  return value;
}

std::map<std::string, uint64_t> parse_keyed(std::string_view text) {
  std::map<std::string, uint64_t> values;
  for (std::string_view line : split(text, "\n")) {
    auto parts = split(line, " ");
    if (parts.size() != 2) continue;
    if (auto value = parse_counter(parts[1])) values.emplace(parts[0], *value);
  }
  return values;
}

std::optional<uint64_t> keyed_value(std::string_view text, std::string_view key) {
  for (std::string_view line : split(text, "\n")) {
    auto parts = split(line, " ");
    if (parts.size() == 2 && parts[0] == key) return parse_counter(parts[1]);
  }
  return {};
}

}  // namespace vessel
