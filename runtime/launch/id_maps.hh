// Owns: writing a user namespace's id maps from outside. Does not own: deciding them (plan/).
#pragma once

#include <sys/types.h>

#include "runtime/plan/plan.hh"

namespace vessel {

// Writes setgroups, uid_map and gid_map of `pid`, directly or by newuidmap and newgidmap. The
// process must still be dumpable for an unprivileged caller. Throws SysError, Error.
void write_id_maps(pid_t pid, const NamespacePlan& plan);

// In the process, once mapped: becomes 0:0 of its user namespace where these are mapped.
void become_namespace_root(const NamespacePlan& plan);

}  // namespace vessel
