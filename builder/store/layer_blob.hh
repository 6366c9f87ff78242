// Owns: reading a layer's blob as the tar that it is, checked against the diff id, and the index of
// it. Does not own: blobs (store.hh), or stacks of layers.
#pragma once

#include <functional>

#include "builder/layer/layer_index.hh"
#include "builder/layer/stream.hh"
#include "builder/store/cache.hh"

namespace kiln {

// Gives a layer's blob to `use` as a plain tar, whose end throws Error if its digest is not
// `layer.diff_id` (image-spec config.md "DiffID"): `use` must read to the end before it keeps
// anything. What goes wrong names the layer.
void read_layer(Store& store, const CachedLayer& layer,
                const std::function<void(ByteSource& tar)>& use);

// The store's index of the layer; made from the blob, and kept, where the store has none that is
// sound.
LayerIndex index_of_layer(Store& store, const CachedLayer& layer);

}  // namespace kiln
