// Owns: sending one blob to a repository: not at all where it is there, mounted from a sibling, in
// one piece, or in chunks that an interrupted upload goes on from. Does not own: which blobs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "builder/registry/client.hh"

namespace kiln {

enum class Delivery : uint8_t { present, mounted, sent };

struct UploadOptions {
  // Repositories of the same registry that may have the blob, likeliest first.
  std::vector<std::string> siblings;
  // Directory for what is known of unfinished uploads, so that the next process can go on with
  // them; "" for none. Locations may be signed: files of mode 0600.
  std::string records;
  uint64_t chunk = uint64_t{64} << 20;  // bytes; blobs up to twice this go in one piece
};

// `open` gives the blob's content when it turns out to be needed. Throws Error, HttpFailure.
Delivery push_blob(RepositoryClient& client, const oci::Descriptor& blob,
                   const std::function<HttpUpload()>& open, const UploadOptions& options,
                   const std::function<void(uint64_t sent)>& progress);

}  // namespace kiln
