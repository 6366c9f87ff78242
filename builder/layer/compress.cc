#include "builder/layer/compress.hh"

#include <libdeflate.h>
#include <zstd.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "builder/sys/error.hh"
#include "oci-spec/image.hh"

namespace kiln {

namespace {

// Constants of the format: changing one changes the digest of every layer.
constexpr int gzip_level = 2;
constexpr size_t gzip_piece = size_t{1} << 20;
constexpr int zstd_level = 3;
constexpr size_t zstd_piece = size_t{4} << 20;

size_t piece_size(Compression compression) {
  return compression == Compression::zstd ? zstd_piece : gzip_piece;
}

// What has been compressed takes the place of its input, whose memory takes the next output: the
// same few buffers go round, whether the data can be compressed or not.
struct Buffer {
  std::unique_ptr<std::byte[]> bytes;
  size_t size = 0;  // of what it holds; the capacity is that of every buffer of a compressor

  std::span<const std::byte> content() const { return {bytes.get(), size}; }
};

// Room for a piece and for the worst that can become of it.
size_t capacity(Compression compression) {
  return compression == Compression::gzip ? libdeflate_gzip_compress_bound(nullptr, gzip_piece)
                                          : ZSTD_compressBound(zstd_piece);
}

Buffer new_buffer(Compression compression) {
  return {std::make_unique_for_overwrite<std::byte[]>(capacity(compression)), 0};
}

// libdeflate writes mtime 0 and OS 255 into its gzip header.
void gzip_member(std::span<const std::byte> in, Buffer& out) {
  struct Free {
    void operator()(libdeflate_compressor* c) const { libdeflate_free_compressor(c); }
  };
  static thread_local const std::unique_ptr<libdeflate_compressor, Free> compressor(
      libdeflate_alloc_compressor(gzip_level));
  if (!compressor) throw Error("no memory for a gzip compressor");
  out.size = libdeflate_gzip_compress(compressor.get(), in.data(), in.size(), out.bytes.get(),
                                      capacity(Compression::gzip));
  if (out.size == 0) throw Error("gzip compression failed");
}

void zstd_frame(std::span<const std::byte> in, Buffer& out) {
  struct Free {
    void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  };
  static thread_local const std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
  if (!context) throw Error("no memory for a zstd compressor");
  const size_t size = ZSTD_compressCCtx(context.get(), out.bytes.get(), capacity(Compression::zstd),
                                        in.data(), in.size(), zstd_level);
  if (ZSTD_isError(size) != 0)
    throw Error(std::string("zstd compression failed: ") + ZSTD_getErrorName(size));
  out.size = size;
}

}  // namespace

std::string_view layer_media_type(Compression compression) {
  switch (compression) {
    case Compression::none:
      return oci::media::layer;
    case Compression::gzip:
      return oci::media::layer_gzip;
    case Compression::zstd:
      return oci::media::layer_zstd;
  }
  return {};
}

std::string compression_identity(Compression compression) {
  switch (compression) {
    case Compression::none:
      return "none";
    case Compression::gzip:
      return "gzip libdeflate-" LIBDEFLATE_VERSION_STRING " level 2 members of 1 MiB";
    case Compression::zstd:
      return "zstd libzstd-" + std::string(ZSTD_versionString()) + " level 3 frames of 4 MiB";
  }
  return {};
}

struct Compressor::State {
  struct Piece {
    Buffer data;  // the input, then the output
    std::string error;
    bool done = false;
  };

  Compression compression;
  ByteSink& out;
  WorkerPool& pool;
  std::mutex mutex;
  std::condition_variable finished;
  std::deque<std::shared_ptr<Piece>> pending;
  Buffer current;
  std::vector<Buffer> spare;  // guarded by mutex
  bool any = false;

  State(Compression c, ByteSink& o, WorkerPool& p) : compression(c), out(o), pool(p) {
    if (c != Compression::none) current = new_buffer(c);
  }

  Buffer take_spare() {
    {
      const std::lock_guard lock(mutex);
      if (!spare.empty()) {
        Buffer buffer = std::move(spare.back());
        spare.pop_back();
        return buffer;
      }
    }
    return new_buffer(compression);
  }

  void give_back(Buffer buffer) {
    buffer.size = 0;
    const std::lock_guard lock(mutex);
    spare.push_back(std::move(buffer));
  }

  void compress(Piece& piece) {
    Buffer result = take_spare();
    if (compression == Compression::gzip)
      gzip_member(piece.data.content(), result);
    else
      zstd_frame(piece.data.content(), result);
    std::swap(piece.data, result);
    give_back(std::move(result));
  }

  void submit() {
    auto piece = std::make_shared<Piece>();
    piece->data = std::move(current);
    pending.push_back(piece);
    any = true;
    pool.submit([this, piece] {
      try {
        compress(*piece);
      } catch (const std::exception& error) {
        piece->error = error.what();
      }
      const std::lock_guard lock(mutex);
      piece->done = true;
      finished.notify_one();
    });
    // One for each thread, and one that is ready when a thread is: more only occupies memory.
    emit(size_t{pool.size()} + 1);
    current = take_spare();
  }

  // Writes finished pieces in order until at most `left` are pending.
  void emit(size_t left) {
    for (;;) {
      std::unique_lock lock(mutex);
      if (pending.empty()) return;
      const std::shared_ptr<Piece> front = pending.front();
      if (!front->done) {
        if (pending.size() <= left) return;
        finished.wait(lock, [&] { return front->done; });
      }
      lock.unlock();
      pending.pop_front();
      if (!front->error.empty()) throw Error(front->error);
      out.write(front->data.content());
      give_back(std::move(front->data));
    }
  }
};

Compressor::Compressor(Compression compression, ByteSink& out, WorkerPool& pool)
    : state_(std::make_unique<State>(compression, out, pool)) {}

Compressor::~Compressor() {
  std::unique_lock lock(state_->mutex);
  for (const auto& piece : state_->pending)
    state_->finished.wait(lock, [&] { return piece->done; });
}

void Compressor::write(std::span<const std::byte> data) {
  if (state_->compression == Compression::none) {
    state_->out.write(data);
    return;
  }
  const size_t size = piece_size(state_->compression);
  while (!data.empty()) {
    Buffer& current = state_->current;
    const size_t take = std::min(data.size(), size - current.size);
    std::memcpy(current.bytes.get() + current.size, data.data(), take);
    current.size += take;
    data = data.subspan(take);
    if (current.size == size) state_->submit();
  }
}

void Compressor::finish() {
  if (state_->compression == Compression::none) return;
  if (state_->current.size > 0 || !state_->any) state_->submit();
  state_->emit(0);
}

}  // namespace kiln
