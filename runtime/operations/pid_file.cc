#include "runtime/operations/pid_file.hh"

#include <fcntl.h>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

template <class Action>
void naming(const std::string& path, Action action) {
  try {
    action();
  } catch (Error& e) {
    e.prepend("write the pid file " + path);
    throw;
  }
}

}  // namespace

PidFile::PidFile(const std::string& path) : path_(path) {
  if (path.empty()) return;
  naming(path, [&] {
    const size_t slash = path.rfind('/');
    name_ = slash == std::string::npos ? path : path.substr(slash + 1);
    if (name_.empty() || name_ == "." || name_ == "..") throw SysError("create " + path, EISDIR);
    directory_ = open_file(AT_FDCWD, slash == std::string::npos ? "." : path.substr(0, slash + 1),
                           O_PATH | O_DIRECTORY);
  });
}

void PidFile::write(pid_t pid) const {
  if (!directory_) return;
  naming(path_, [&] { replace_file(directory_.get(), name_, std::to_string(pid), 0644); });
}

}  // namespace vessel
