// Owns: the questions that init asks of a process with more rights or a better view.
// Does not own: the answers (sources.hh makes them) or the way they travel (launch/).
#pragma once

#include <cstddef>

#include "runtime/sys/fd.hh"

namespace vessel {

// What init may not do itself; launch/ asks the parent, tests do it in place. Indices are positions
// in RootfsPlan::mounts and RootfsPlan::devices. Each call returns an open descriptor or throws.
class RootfsServices {
 public:
  virtual ~RootfsServices() = default;
  // A detached clone of the root's tree; asked for only when init cannot reach RootfsPlan::path.
  virtual Fd open_root() = 0;
  // The detached tree of a bind mount, its id mapping applied. Asked for exactly the mounts that
  // served_sources() lists, in that order: the parent can send them ahead.
  virtual Fd open_source(size_t mount) = 0;
  // The user namespace whose mappings a file system mount takes (MountStep::idmap).
  virtual Fd idmap_namespace(size_t mount) = 0;
  // A detached clone of the host's node; asked for only when init cannot reach it.
  virtual Fd open_device(size_t device) = 0;
};

}  // namespace vessel
