// Owns: the seccomp filter by which a process without a runtime reports to an OwnershipWatch.
// Does not own: who listens (ownership_watch.hh).
#pragma once

#include <cstdint>
#include <string>

namespace kiln {

// For this process and all that it becomes: calls for owners and ids from `ids` on and for devices
// go to whoever listens at the socket `path` (OwnershipWatch::watch()); all others are allowed.
// Throws SysError: seccomp(2) has EBUSY where a filter with a listener is in force already.
// Without CAP_SYS_ADMIN in our user namespace it sets no_new_privs.
void report_ownership_calls(const std::string& path, uint32_t ids);

}  // namespace kiln
