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

// What an index may take of memory, in bytes: some millions of files. A layer of nothing but
// headers compresses a thousandfold, so that its size bounds nothing.
inline constexpr uint64_t most_index_bytes = uint64_t{1} << 30;

class IndexedReader final : public ByteSource {
 public:
  explicit IndexedReader(ByteSource& tar,
                         TarReader::Whiteouts whiteouts = TarReader::Whiteouts::decode,
                         uint64_t most = most_index_bytes)
      : reader_(tar, whiteouts), left_(most) {}

  // Null at the end; finishes the entry before. Throws Error also when the index grows too large.
  const Entry* next();
  size_t read(std::span<std::byte> data) override;
  LayerIndex finish();  // after next() gave null; reads the source to its end

 private:
  void complete();

  TarReader reader_;
  uint64_t left_;
  std::optional<Entry> current_;
  bool keep_ = false;
  std::string kept_;
  Sha256 hash_;
  LayerIndex index_;
};

}  // namespace kiln
