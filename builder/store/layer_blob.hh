// Owns: reading a layer's blob as the tar that it is, checked against the diff id, and the index of
// it. Does not own: blobs (store.hh), or stacks of layers.
#pragma once

#include <memory>

#include "builder/layer/layer_index.hh"
#include "builder/layer/stream.hh"
#include "builder/store/cache.hh"

namespace kiln {

// Reads a layer's blob as a plain tar. Throws Error at the end if the tar's digest is not
// `layer.diff_id` (image-spec config.md "DiffID").
std::unique_ptr<ByteSource> open_layer(Store& store, const CachedLayer& layer);

// The store's index of the layer; made from the blob, and kept, where the store has none that is
// sound.
LayerIndex index_of_layer(Store& store, const CachedLayer& layer);

}  // namespace kiln
