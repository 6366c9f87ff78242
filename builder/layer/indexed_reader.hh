// Owns: reading a layer's tar once while its index is built: entries and contents pass through, the
// content digests and the small files that the index keeps are taken on the way.
// Does not own: what the caller does with the entries.
#pragma once

#include <optional>
#include <string>

#include "builder/layer/layer_index.hh"
#include "builder/layer/tar_reader.hh"
#include "builder/sys/sha256.hh"

namespace kiln {

class IndexedReader final : public ByteSource {
 public:
  explicit IndexedReader(ByteSource& tar,
                         TarReader::Whiteouts whiteouts = TarReader::Whiteouts::decode)
      : reader_(tar, whiteouts) {}

  const Entry* next();  // null at the end; finishes the entry before
  size_t read(std::span<std::byte> data) override;
  LayerIndex finish();  // after next() gave null; reads the source to its end

 private:
  void complete();

  TarReader reader_;
  std::optional<Entry> current_;
  bool keep_ = false;
  std::string kept_;
  Sha256 hash_;
  LayerIndex index_;
};

}  // namespace kiln
