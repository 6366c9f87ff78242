// Owns: descriptors that nobody needs any more, closed together; all of a range closed or marked.
// Does not own: descriptors still in use.
#pragma once

#include <vector>

#include "runtime/sys/fd.hh"

namespace vessel {

// Setting up a root opens about a hundred descriptors for a moment each. Numbers are handed out
// lowest first, so those that are done with lie side by side: one close_range(2) for each run of
// neighbours instead of one close(2) each.
class FdBatch {
 public:
  FdBatch() = default;
  FdBatch(FdBatch&&) = default;
  FdBatch& operator=(FdBatch&&) = default;
  ~FdBatch() { close_all(); }

  // Takes over `fd`; an empty one is ignored.
  void add(Fd fd);
  void close_all() noexcept;

 private:
  std::vector<int> fds_;
};

// close_range(2) from `first` to `last` (both included; ~0U: all), or what it does one by one where
// a seccomp filter around vessel hides it (older container engines answer EPERM). Only system
// calls.
void close_all_between(unsigned first, unsigned last) noexcept;
void mark_close_on_exec_from(unsigned first) noexcept;

}  // namespace vessel
