#include "builder/layer/compress.hh"

#include <libdeflate.h>
#include <zstd.h>

#include <condition_variable>
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

// libdeflate writes mtime 0 and OS 255 into its gzip header.
std::vector<std::byte> gzip_member(std::span<const std::byte> in) {
  struct Free {
    void operator()(libdeflate_compressor* c) const { libdeflate_free_compressor(c); }
  };
  static thread_local const std::unique_ptr<libdeflate_compressor, Free> compressor(
      libdeflate_alloc_compressor(gzip_level));
  if (!compressor) throw Error("no memory for a gzip compressor");
  // Results wait for those before them: they should not occupy what they might have needed.
  static thread_local std::vector<std::byte> out;
  out.resize(libdeflate_gzip_compress_bound(compressor.get(), in.size()));
  const size_t size =
      libdeflate_gzip_compress(compressor.get(), in.data(), in.size(), out.data(), out.size());
  if (size == 0) throw Error("gzip compression failed");
  return {out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size)};
}

std::vector<std::byte> zstd_frame(std::span<const std::byte> in) {
  struct Free {
    void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  };
  static thread_local const std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
  if (!context) throw Error("no memory for a zstd compressor");
  static thread_local std::vector<std::byte> out;
  out.resize(ZSTD_compressBound(in.size()));
  const size_t size =
      ZSTD_compressCCtx(context.get(), out.data(), out.size(), in.data(), in.size(), zstd_level);
  if (ZSTD_isError(size) != 0)
    throw Error(std::string("zstd compression failed: ") + ZSTD_getErrorName(size));
  return {out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size)};
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
    std::vector<std::byte> in, out;
    std::string error;
    bool done = false;
  };

  Compression compression;
  ByteSink& out;
  WorkerPool& pool;
  std::mutex mutex;
  std::condition_variable finished;
  std::deque<std::shared_ptr<Piece>> pending;
  std::vector<std::byte> current;
  std::vector<std::vector<std::byte>> spare;  // buffers to use again
  bool any = false;

  State(Compression c, ByteSink& o, WorkerPool& p) : compression(c), out(o), pool(p) {}

  void submit() {
    auto piece = std::make_shared<Piece>();
    piece->in.swap(current);
    if (!spare.empty()) current.swap(spare.back()), spare.pop_back();
    pending.push_back(piece);
    any = true;
    pool.submit([this, piece] {
      try {
        piece->out =
            compression == Compression::gzip ? gzip_member(piece->in) : zstd_frame(piece->in);
      } catch (const std::exception& error) {
        piece->error = error.what();
      }
      const std::lock_guard lock(mutex);
      piece->done = true;
      finished.notify_one();
    });
    // One for each thread, and one that is ready when a thread is: more only occupies memory.
    emit(size_t{pool.size()} + 1);
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
      out.write(front->out);
      front->in.clear();
      spare.push_back(std::move(front->in));
    }
  }
};

Compressor::Compressor(Compression compression, ByteSink& out, WorkerPool& pool)
    : state_(std::make_unique<State>(compression, out, pool)) {
  if (compression != Compression::none) state_->current.reserve(piece_size(compression));
}

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
    const size_t take = std::min(data.size(), size - state_->current.size());
    state_->current.insert(state_->current.end(), data.begin(),
                           data.begin() + static_cast<std::ptrdiff_t>(take));
    data = data.subspan(take);
    if (state_->current.size() == size) state_->submit();
  }
}

void Compressor::finish() {
  if (state_->compression == Compression::none) return;
  if (!state_->current.empty() || !state_->any) state_->submit();
  state_->emit(0);
}

}  // namespace kiln
