#include "builder/sys/container.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

constexpr size_t file_limit = size_t{16} << 20;
// The first pid namespace has this number since Linux 3.8 (PROC_PID_INIT_INO, proc_ns.h).
constexpr std::string_view first_pid_namespace = "pid:[4026531836]";

std::string link_text(const std::string& path) {
  std::array<char, 256> buffer;
  const ssize_t n = readlink(path.c_str(), buffer.data(), buffer.size());
  return n <= 0 ? "" : std::string(buffer.data(), static_cast<size_t>(n));
}

// Of another user's process it cannot be read: then it says nothing.
std::optional<std::string> container_variable(const std::string& proc) {
  std::string text;
  try {
    text = try_read_file_at(AT_FDCWD, proc + "/1/environ", file_limit).value_or("");
  } catch (const Error&) {
    return std::nullopt;
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\0', at), text.size());
    const std::string_view variable = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (variable.starts_with("container=") && variable.size() > 10)
      return "container=" + std::string(variable.substr(10)) + " of process 1";
  }
  return std::nullopt;
}

std::optional<std::string> sign(const ContainerSigns& signs) {
  for (const char* file : {"/.dockerenv", "/run/.containerenv"})
    if (access((signs.root + file).c_str(), F_OK) == 0) return file;
  if (auto found = container_variable(signs.proc)) return found;
  for (const char* name : {"container", "KUBERNETES_SERVICE_HOST"})
    if (const char* value = getenv(name); value != nullptr && *value != '\0') return name;
  return std::nullopt;
}

// A disk's filesystem from its top on: 36 35 98:0 / / rw … - ext4 /dev/vda rw
std::optional<std::string> whole_disk(const std::string& proc) {
  const std::string text =
      try_read_file_at(AT_FDCWD, proc + "/self/mountinfo", file_limit).value_or("");
  std::optional<std::string> disk = "unknown";
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    std::array<std::string_view, 5> fields;
    for (std::string_view& field : fields) {
      field = line.substr(0, line.find(' '));
      line.remove_prefix(std::min(field.size() + 1, line.size()));
    }
    const size_t dash = line.find(" - ");
    if (fields[4] != "/" || dash == line.npos) continue;
    line.remove_prefix(dash + 3);
    const std::string_view source = line.substr(std::min(line.find(' ') + 1, line.size()));
    // The last one is on top of the others.
    if (fields[3] == "/" && source.starts_with("/dev/"))
      disk = std::string(source.substr(0, source.find(' ')));
    else
      disk.reset();
  }
  return disk;
}

}  // namespace

std::expected<std::string, std::string> find_container(const ContainerSigns& signs) {
  const std::string pids = link_text(signs.proc + "/self/ns/pid");
  if (pids.empty()) return std::unexpected("/proc/self/ns/pid cannot be read");
  if (pids == first_pid_namespace)
    return std::unexpected("its processes are those of the machine (the first pid namespace)");
  if (const auto disk = whole_disk(signs.proc))
    return std::unexpected("its root directory is the whole of the disk " + *disk);
  const auto found = sign(signs);
  if (!found)
    return std::unexpected(
        "there is neither /.dockerenv nor /run/.containerenv, process 1 has no variable "
        "'container', and KUBERNETES_SERVICE_HOST is not set");
  return *found;
}

}  // namespace kiln
