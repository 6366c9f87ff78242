// Owns: which snapshotter a command of this process uses. Does not own: snapshots.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "builder/snapshot/snapshotter.hh"
#include "builder/store/store.hh"

namespace kiln::cli {

// `kind` of --rootfs: auto (overlay where it can be mounted, else null: the caller unpacks a copy),
// overlay (Error where it cannot), copy (null).
std::unique_ptr<Snapshotter> snapshots_for_bundle(const Store& store, std::string_view kind);

// Those that builds have used, for collection.
std::vector<std::unique_ptr<Snapshotter>> existing_snapshots(const Store& store);

}  // namespace kiln::cli
