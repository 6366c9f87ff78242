// Owns: entries and file contents in, one pass: tar → diff id → compressed in parallel → blob
// digest → sink, with the layer's index made on the way. Deterministic: equal entries give equal
// bytes. Does not own: which entries a layer has, their order, or where the blob is kept.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "builder/layer/compress.hh"
#include "builder/layer/entry.hh"
#include "builder/layer/layer_index.hh"
#include "builder/layer/stream.hh"
#include "builder/sys/worker_pool.hh"
#include "oci-spec/digest.hh"

namespace kiln {

struct LayerBlob {
  oci::Digest diff_id;  // of the tar
  oci::Digest digest;   // of the blob
  uint64_t size = 0;    // of the blob, bytes
  uint64_t tar_size = 0;
  uint64_t entries = 0;
  std::string media_type;
  LayerIndex index;
};

class LayerWriter {
 public:
  // `plain`, if given, gets the tar itself as well.
  LayerWriter(ByteSink& blob, Compression compression, WorkerPool& pool, ByteSink* plain = nullptr);
  ~LayerWriter();
  LayerWriter(LayerWriter&&) noexcept;

  // How many entries will come, so that the index grows once. A hint.
  void expect(size_t entries);
  // Paths must come in increasing byte order (a whiteout's being that of its .wh. name); a file of
  // size > 0 needs content.
  void add(const Entry& entry);
  // Reads exactly entry.size bytes; fewer or more (the file changed meanwhile) is an Error.
  void add(const Entry& entry, ByteSource& content);
  void add(const Entry& entry, int content_fd);
  LayerBlob finish();

  // Content digest of the file added last (sha256, hex); empty for other types.
  const std::string& last_content_digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Header blocks of one entry (pax records where ustar cannot hold it), content not included.
// Exposed for tests and for writers of other archives.
void append_tar_header(std::string& out, const Entry& entry);

}  // namespace kiln
