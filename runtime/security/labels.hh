// Owns: AppArmor and SELinux labels of a process and of its keys. Does not own: the "context="
// option of mounts (rootfs/).
//
// All writes go through a procfs that is checked to be one (CVE-2019-16884, CVE-2025-52881): a path
// below /proc as the container sees it may be anything.
#pragma once

#include <string>

#include "runtime/sys/procfs.hh"

namespace vessel {

// The labels that the next execve of this thread takes on. Empty strings do nothing. Messages name
// the file as `/proc/thread-self/attr/…`, which callers match. Throws SysError, or Error when the
// kernel has no such security module.
void set_exec_labels(const ProcFs& proc, const std::string& apparmor_profile,
                     const std::string& selinux_label);

// SELinux label of the keys that this thread makes while the object lives: a container's keyring is
// the container's, not the runtime's. Nothing without a label. Throws SysError or Error.
class KeyLabel {
 public:
  KeyLabel(const ProcFs* proc, const std::string& selinux_label);
  ~KeyLabel();
  KeyLabel(const KeyLabel&) = delete;
  KeyLabel& operator=(const KeyLabel&) = delete;

 private:
  const ProcFs* proc_ = nullptr;
};

}  // namespace vessel
