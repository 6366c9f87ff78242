// Owns: removing what nothing needs any more. Does not own: deciding what a person wants removed
// (cli/), or checking (fsck.hh).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "builder/snapshot/snapshotter.hh"
#include "builder/store/store.hh"

namespace kiln {

struct PruneOptions {
  bool all = false;                      // named images without a bundle, and the whole cache
  std::optional<uint64_t> keep_storage;  // bytes: cache goes, least recently used first, until
                                         // the store is no larger
  std::optional<int64_t> unused_since;   // seconds since the epoch: only what is older
  std::vector<Snapshotter*> snapshots;   // whose unpacked trees are collected too
};

struct Pruned {
  std::vector<std::string> images;  // names or ids
  uint64_t records = 0;
  uint64_t blobs = 0;
  uint64_t snapshots = 0;
  uint64_t bytes = 0;
};

Pruned prune(Store& store, const PruneOptions& options);

// Removes those blobs of `candidates` that nothing reaches or holds. For blobs that are known to
// have been an image's; others may be a foreign tool's half-finished copy and are left to prune(),
// which waits ten minutes.
uint64_t collect_blobs(Store& store, const std::vector<oci::Descriptor>& candidates);

}  // namespace kiln
