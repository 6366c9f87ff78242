// Owns: waiting for what the kernel tells of a cgroup, with an end.
// Does not own: what is waited for.
#pragma once

#include <cstdint>
#include <string_view>

namespace vessel {

// A moment on CLOCK_MONOTONIC.
class Deadline {
 public:
  explicit Deadline(int64_t milliseconds);
  int left_ms() const;  // 0 once passed
  bool passed() const { return left_ms() == 0; }

 private:
  int64_t at_ns_;
};

// Until the open cgroup.events file says "KEY VALUE" (poll(2) with POLLPRI after each read, as
// kernfs notifies). False when the deadline passes first; true also when the cgroup is gone.
bool wait_event(int events_file, std::string_view key, uint64_t value, const Deadline& deadline);

}  // namespace vessel
