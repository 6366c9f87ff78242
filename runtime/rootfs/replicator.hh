// Owns: attaching one mount in many places, each a clone of the first.
// Does not own: making that mount.
#pragma once

#include "runtime/sys/fd.hh"
#include "runtime/sys/fd_batch.hh"

namespace vessel {

// Masked paths are all the same /dev/null or the same empty directory. The first attach moves the
// detached mount itself; from then on the descriptor refers to the attached mount, which can be
// cloned on every kernel (a detached one only since 6.15).
class Replicator {
 public:
  Replicator() = default;
  explicit Replicator(Fd detached) : mount_(static_cast<Fd&&>(detached)) {}

  explicit operator bool() const { return static_cast<bool>(mount_); }
  bool attached() const { return attached_; }
  int mount() const { return mount_.get(); }
  // On top of what `target` is; its type (directory or not) must match. The descriptor of a clone
  // goes to `done`. Throws SysError.
  void attach(int target, FdBatch& done);

 private:
  Fd mount_;
  bool attached_ = false;
};

}  // namespace vessel
