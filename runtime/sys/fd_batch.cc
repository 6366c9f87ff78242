#include "runtime/sys/fd_batch.hh"

#include <unistd.h>

#include <algorithm>

namespace vessel {

namespace {
constexpr size_t most_held = 128;  // well below the usual soft limit of 1024
}

void FdBatch::add(Fd fd) {
  if (!fd) return;
  fds_.push_back(fd.release());
  if (fds_.size() >= most_held) close_all();
}

void FdBatch::close_all() noexcept {
  std::sort(fds_.begin(), fds_.end());
  for (size_t first = 0; first < fds_.size();) {
    size_t last = first;
    while (last + 1 < fds_.size() && fds_[last + 1] == fds_[last] + 1) ++last;
    if (close_range(static_cast<unsigned>(fds_[first]), static_cast<unsigned>(fds_[last]), 0) < 0)
      for (size_t i = first; i <= last; ++i) close(fds_[i]);  // a filter may hide close_range
    first = last + 1;
  }
  fds_.clear();
}

}  // namespace vessel
