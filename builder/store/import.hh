// Owns: making a layer of the store from a root filesystem that is at hand as a tar or a directory.
// Does not own: the image around it.
#pragma once

#include <string>

#include "builder/layer/compress.hh"
#include "builder/layer/stream.hh"
#include "builder/store/cache.hh"
#include "builder/store/store.hh"

namespace kiln {

// A tar, plain or compressed in any way that decompress() knows. Kept entry for entry as it is and
// compressed anew; read strictly, so that what cannot be applied is refused here. The layer's index
// is remembered.
CachedLayer import_tar(Store& store, ByteSource& tar, Compression compression);

// The contents of a directory with owners, modes, times, hard links and those extended attributes
// that layers carry. Never follows a link.
CachedLayer import_directory(Store& store, const std::string& directory, Compression compression);

}  // namespace kiln
