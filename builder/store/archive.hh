// Owns: images as one tar: an OCI layout (oci-archive), with Docker's manifest.json for `docker
// load`; and reading these, and what older Dockers saved, into the store.
// Does not own: which images, or where the bytes go.
#pragma once

#include <string>
#include <vector>

#include "builder/layer/stream.hh"
#include "builder/store/image.hh"
#include "builder/store/store.hh"

namespace kiln {

enum class ArchiveFormat : uint8_t { oci, docker };

// `oci` holds everything that each name points to, all platforms included; `docker` this
// machine's, zstd layers unpacked (Docker's loader does not know zstd).
void save_images(Store& store, const std::vector<NamedImage>& images, ArchiveFormat format,
                 ByteSink& out);

// Names (or digests of nameless images) that were loaded. Nothing gets a name unless all that it
// needs is there and is what it says. Throws Error.
std::vector<std::string> load_images(Store& store, ByteSource& archive);

}  // namespace kiln
