#include "runtime/launch/program.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/number.hh"
#include "runtime/sys/resolve.hh"

namespace vessel {

namespace {

constexpr size_t passwd_limit = 1024 * 1024;

// 0 when `path` can be executed by the caller, else the errno.
int check_executable(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) < 0) return errno;
  if (S_ISDIR(st.st_mode)) return EISDIR;
  // With the effective ids, and refused on noexec mounts too.
  int refused = ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS);
  // A filter around vessel that does not know faccessat2; libc steps back for ENOSYS only. The
  // real ids are the effective ones here.
  if (refused && errno == EPERM) refused = ::access(path.c_str(), X_OK);
  if (refused) return errno;
  return S_ISREG(st.st_mode) ? 0 : EACCES;
}

// Lower case, as Go prints them: what engines compare with.
std::string lower_text(int error) {
  std::string text = error_text(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z')
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

[[noreturn]] void refuse(const std::string& name, const std::string& path, int error) {
  std::string text = "exec: \"" + name + "\": ";
  if (error != EACCES && error != EPERM && error != EISDIR) text += "stat " + path + ": ";
  throw Error(text + lower_text(error));
}

}  // namespace

std::string find_program(const std::string& name, const std::vector<std::string>& env) {
  if (name.find('/') != std::string::npos) {
    if (int error = check_executable(name)) refuse(name, name, error);
    return name;
  }
  std::string_view search;
  for (const std::string& variable : env)
    if (variable.starts_with("PATH=")) search = std::string_view(variable).substr(5);
  int denied = 0;
  while (!name.empty() && !search.empty()) {
    size_t colon = search.find(':');
    std::string dir(search.substr(0, colon));
    search = colon == std::string_view::npos ? "" : search.substr(colon + 1);
    if (dir.empty()) dir = ".";
    std::string path = dir + "/" + name;
    int error = check_executable(path);
    if (error == 0) return path;
    if (error == EACCES) denied = error;
  }
  if (denied) refuse(name, name, denied);
  throw Error("exec: \"" + name + "\": executable file not found in $PATH");
}

std::string home_in_passwd(std::string_view text, uint32_t uid) {
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
    // name:password:uid:gid:gecos:home:shell
    std::string_view fields[7];
    size_t count = 0;
    while (count < 7) {
      size_t colon = line.find(':');
      fields[count++] = line.substr(0, colon);
      if (colon == std::string_view::npos) break;
      line.remove_prefix(colon + 1);
    }
    if (count < 6 || parse_number<uint32_t>(fields[2]) != uid) continue;
    return std::string(fields[5]);
  }
  return "";
}

std::string home_of(int root, uint32_t uid) {
  Fd file = try_resolve_in_root(root, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY);
  struct stat st {};
  if (!file || ::fstat(file.get(), &st) < 0 || !S_ISREG(st.st_mode)) return "/";
  std::string text(std::min(passwd_limit, static_cast<size_t>(st.st_size)), '\0');
  ssize_t got = ::read(file.get(), text.data(), text.size());
  if (got <= 0) return "/";
  text.resize(static_cast<size_t>(got));
  std::string home = home_in_passwd(text, uid);
  return home.empty() || home[0] != '/' ? "/" : home;
}

}  // namespace vessel
