// Owns: joining namespaces by path, time offsets, and bringing the loopback device up.
// Does not own: which namespaces (plan/), the clone that makes new ones (spawn in parent.cc).
#pragma once

#include "runtime/plan/plan.hh"

namespace vessel {

// setns(2) in the plan's order. All paths are opened before the first is entered, for they are the
// caller's. Throws SysError "join network namespace /run/netns/x".
void join_namespaces(const NamespacePlan& plan);

// Unshares a time namespace for the children to come and writes its offsets, which the kernel only
// allows before there is a process in it.
void make_time_namespace(const NamespacePlan& plan);

// A new network namespace's `lo` is down.
void raise_loopback();

uint64_t clone_flag_of(NamespaceKind kind);
const char* name_of(NamespaceKind kind);

}  // namespace vessel
