#include "runtime/security/labels.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

constexpr const char* key_file = "thread-self/attr/keycreate";

[[noreturn]] void fail(const std::string& file, const char* module, int error) {
  // Without the module there is no file, or nobody who takes what is written to it.
  const bool absent = error == ENOENT || error == EINVAL || error == EOPNOTSUPP;
  const std::string what = "write `/proc/" + file + "`";
  if (!absent) throw SysError(what, error);
  throw Error(what + ": " + error_text(error) + " (is " + module +
              " enabled on this host, and the label known?)");
}

int write_attribute(const ProcFs& proc, const std::string& file, std::string_view text) {
  try {
    Fd fd = proc.open_file(file, O_WRONLY);
    // The kernel takes a label in one piece.
    if (write(fd.get(), text.data(), text.size()) < 0) return errno;
    return 0;
  } catch (const SysError& e) {
    return e.code();
  }
}

}  // namespace

void set_exec_labels(const ProcFs& proc, const std::string& apparmor_profile,
                     const std::string& selinux_label) {
  if (!apparmor_profile.empty()) {
    // The module's own directory, since 5.8: with several modules the plain file may be another's.
    std::string file = "thread-self/attr/apparmor/exec";
    int error = write_attribute(proc, file, "exec " + apparmor_profile);
    if (error == ENOENT && access("/sys/module/apparmor", F_OK) == 0) {
      file = "thread-self/attr/exec";
      error = write_attribute(proc, file, "exec " + apparmor_profile);
    }
    if (error != 0) fail(file, "AppArmor", error);
  }
  if (!selinux_label.empty()) {
    const std::string file = "thread-self/attr/exec";
    if (int error = write_attribute(proc, file, selinux_label); error != 0)
      fail(file, "SELinux", error);
  }
}

KeyLabel::KeyLabel(const ProcFs* proc, const std::string& selinux_label) {
  if (proc == nullptr || selinux_label.empty()) return;
  if (int error = write_attribute(*proc, key_file, selinux_label); error != 0)
    fail(key_file, "SELinux", error);
  proc_ = proc;
}

KeyLabel::~KeyLabel() {
  // An empty write resets; procfs has no write of zero bytes, a NUL stands for it.
  if (proc_ != nullptr) write_attribute(*proc_, key_file, std::string_view("\0", 1));
}

}  // namespace vessel
