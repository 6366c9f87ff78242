// Owns: AppArmor and SELinux labels of a process and of its keys. Does not own: the "context="
// option of mounts (rootfs/), or the private procfs that the labels are written through.
//
// All writes go through `proc_fd`, the root of a procfs of this runtime's own that is checked to be
// one (CVE-2019-16884, CVE-2025-52881). A path below /proc as the container sees it may be
// anything.
#pragma once

#include <string>

namespace vessel {

// The label that the next execve of this thread takes on. Empty strings do nothing. Errors name
// the file as `/proc/thread-self/attr/…`, which callers match. Throws SysError, or Error when the
// host has no such security module.
void set_exec_labels(int proc_fd, const std::string& apparmor_profile,
                     const std::string& selinux_label);

// SELinux label for keys that this thread makes from now on; empty restores the default.
void set_key_label(int proc_fd, const std::string& selinux_label);

}  // namespace vessel
