// Owns: opening what is mounted from the host as a detached tree, by init or by the parent for it.
// Does not own: attaching it in the container.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/plan/plan.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// All run with the host's view (the parent, or init before switch_root()); the paths are the
// host's and may be symbolic links. All throw SysError.

// The root's tree with everything mounted below it.
Fd open_root_tree(const RootfsPlan& rootfs);

// The tree of `bind`, without id mapping.
Fd open_bind_source(const BindMount& bind);

// Gives the detached `tree` the mappings of the user namespace `user_namespace`. Kernel 5.12, and
// a file system that supports it: the message says which of the two was missing.
void apply_idmap(int tree, int user_namespace, bool recursive);

// The host's node for `device`: no symbolic link, and of its type and numbers.
Fd open_device_source(const DeviceStep& device);

// A user namespace with the mappings of `idmap`. No process lives in it; the descriptor keeps it.
Fd make_idmap_namespace(const MountIdmap& idmap);

}  // namespace vessel
