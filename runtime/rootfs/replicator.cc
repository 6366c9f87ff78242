#include "runtime/rootfs/replicator.hh"

#include "runtime/sys/mount_api.hh"

namespace vessel {

void Replicator::attach(int target, FdBatch& done) {
  if (!attached_) {
    attach_tree(mount_.get(), target);
    attached_ = true;
    return;
  }
  Fd clone = clone_tree(mount_.get(), "", 0);
  attach_tree(clone.get(), target);
  done.add(std::move(clone));
}

}  // namespace vessel
