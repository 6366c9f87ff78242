#include "runtime/cgroup/wait.hh"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "runtime/cgroup/files.hh"

namespace vessel {

namespace {

int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Deadline::Deadline(int64_t milliseconds) : at_ns_(now_ns() + milliseconds * 1'000'000) {}

int Deadline::left_ms() const {
  int64_t left = at_ns_ - now_ns();
  return left <= 0 ? 0 : static_cast<int>(std::min<int64_t>(left / 1'000'000 + 1, 1'000'000));
}

bool wait_event(int events_file, std::string_view key, uint64_t value, const Deadline& deadline) {
  for (;;) {
    char buffer[256];
    ssize_t n = ::pread(events_file, buffer, sizeof buffer, 0);
    if (n < 0 && errno == ENODEV) return true;  // removed meanwhile
    if (n > 0 && keyed_value({buffer, static_cast<size_t>(n)}, key) == value) return true;
    if (n <= 0 || deadline.passed()) return false;
    pollfd wait{events_file, POLLPRI, 0};
    if (::poll(&wait, 1, deadline.left_ms()) < 0 && errno != EINTR) return false;
  }
}

}  // namespace vessel
