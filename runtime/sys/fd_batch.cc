#include "runtime/sys/fd_batch.hh"

#include <fcntl.h>
#include <linux/close_range.h>
#include <unistd.h>

#include <algorithm>

namespace vessel {

namespace {

constexpr size_t most_held = 128;  // well below the usual soft limit of 1024

// fs.nr_open's default: no limit of open files is above it unless somebody raised that. The
// process's own limit says nothing, as it may have been lowered since.
constexpr unsigned no_descriptor_above = 1024 * 1024;

}  // namespace

void FdBatch::add(Fd fd) {
  if (!fd) return;
  fds_.reserve(most_held);
  fds_.push_back(fd.release());
  if (fds_.size() >= most_held) close_all();
}

void FdBatch::close_all() noexcept {
  std::sort(fds_.begin(), fds_.end());
  for (size_t first = 0; first < fds_.size();) {
    size_t last = first;
    while (last + 1 < fds_.size() && fds_[last + 1] == fds_[last] + 1) ++last;
    close_all_between(static_cast<unsigned>(fds_[first]), static_cast<unsigned>(fds_[last]));
    first = last + 1;
  }
  fds_.clear();
}

void close_all_between(unsigned first, unsigned last) noexcept {
  if (first > last || ::close_range(first, last, 0) == 0) return;
  for (unsigned fd = first; fd <= std::min(last, no_descriptor_above); ++fd)
    ::close(static_cast<int>(fd));
}

void mark_close_on_exec_from(unsigned first) noexcept {
  if (::close_range(first, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  for (unsigned fd = first; fd <= no_descriptor_above; ++fd)
    ::fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
}

}  // namespace vessel
