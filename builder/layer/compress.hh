// Owns: compressing a stream in fixed pieces in parallel, so that the bytes depend on nothing but
// the input: gzip as libdeflate level 2 in members of 1 MiB, zstd level 3 in frames of 4 MiB.
// Does not own: what is compressed or where it goes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "builder/layer/stream.hh"
#include "builder/sys/worker_pool.hh"

namespace kiln {

enum class Compression : uint8_t { none, gzip, zstd };

// The layer's media type in image-spec's or (gzip and none only) Docker's words.
std::string_view layer_media_type(Compression compression);

// Names algorithm, library version, level and piece size: part of the key of a compressed blob.
std::string compression_identity(Compression compression);

// Memory is bounded by a few pieces per thread. write() blocks when the pool is behind; output
// reaches `out` in order, from the thread that calls write() or finish().
class Compressor final : public ByteSink {
 public:
  Compressor(Compression compression, ByteSink& out, WorkerPool& pool);
  ~Compressor() override;  // without finish(): waits for its tasks and drops the output
  void write(std::span<const std::byte> data) override;
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln
