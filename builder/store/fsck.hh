// Owns: checking every blob, reference and cache record of a store, and mending what can be mended.
// Does not own: collection of what is merely unused.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "builder/store/store.hh"

namespace kiln {

struct Damage {
  std::string what;  // one line for a person
  bool repaired = false;
};

struct FsckResult {
  std::vector<Damage> damage;
  uint64_t blobs = 0, bytes = 0, images = 0, records = 0;
};

// With `repair`: damaged blobs are removed (they can be pulled or built again), then names and
// records that need what is missing; damaged indexes of layers are made anew.
FsckResult fsck(Store& store, bool repair);

}  // namespace kiln
