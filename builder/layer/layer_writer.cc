#include "builder/layer/layer_writer.hh"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "builder/sys/error.hh"
#include "builder/sys/sha256.hh"

namespace kiln {

std::string tar_name(const Entry& entry);  // tar_header.cc

namespace {

constexpr size_t copy_size = size_t{256} << 10;
constexpr size_t tar_block = 512;

// Counts and digests the blob on its way out.
class BlobEnd final : public ByteSink {
 public:
  explicit BlobEnd(ByteSink& out) : out_(out) {}
  void write(std::span<const std::byte> data) override {
    hash_.update(data);
    size += data.size();
    out_.write(data);
  }
  oci::Digest digest() { return hash_.finish(); }
  uint64_t size = 0;

 private:
  ByteSink& out_;
  oci::Hasher hash_;
};

}  // namespace

struct LayerWriter::State {
  Compression compression;
  BlobEnd end;
  Compressor compressor;
  ByteSink* plain;
  oci::Hasher diff;
  Sha256 content_hash;
  std::vector<std::byte> buffer = std::vector<std::byte>(copy_size);
  size_t filled = 0;
  uint64_t tar_size = 0;
  uint64_t entries = 0;
  std::string header;
  std::string last_name;
  std::string last_digest;
  LayerIndex index;

  State(ByteSink& blob, Compression c, WorkerPool& pool, ByteSink* also)
      : compression(c), end(blob), compressor(c, end, pool), plain(also) {}

  void flush() {
    const std::span<const std::byte> data(buffer.data(), filled);
    diff.update(data);
    compressor.write(data);
    if (plain != nullptr) plain->write(data);
    filled = 0;
  }

  // Room of at least one byte in the buffer.
  std::span<std::byte> room() {
    if (filled == buffer.size()) flush();
    return std::span(buffer).subspan(filled);
  }
  void used(size_t bytes) {
    filled += bytes;
    tar_size += bytes;
  }

  void put(std::string_view text) {
    while (!text.empty()) {
      const std::span<std::byte> space = room();
      const size_t take = std::min(space.size(), text.size());
      std::memcpy(space.data(), text.data(), take);
      used(take);
      text.remove_prefix(take);
    }
  }

  void pad() {
    static constexpr char zeros[tar_block] = {};
    put(std::string_view(zeros, (tar_block - tar_size % tar_block) % tar_block));
  }

  void check(const Entry& entry) {
    // Directories sort by their path without the slash.
    const std::string name = entry.type == FileType::whiteout ? tar_name(entry) : entry.path;
    if (entries != 0 && name <= last_name)
      throw Error("layer entries out of order: " + name + " after " + last_name);
    if (entry.type != FileType::whiteout && base_name(entry.path).starts_with(whiteout_prefix))
      throw Error("/" + entry.path +
                  ": a layer cannot hold a name that starts with .wh. (it would mean a deletion)");
    last_name = name;
  }

  void begin(const Entry& entry) {
    check(entry);
    header.clear();
    append_tar_header(header, entry);
    put(header);
    ++entries;
    last_digest.clear();
  }

  void record(const Entry& entry, uint64_t offset) {
    index.add({.path = entry.path,
               .type = entry.type,
               .mode = entry.mode,
               .uid = entry.uid,
               .gid = entry.gid,
               .mtime = entry.mtime,
               .size = entry.size,
               .tar_offset = offset,
               .content_digest = last_digest,
               .link = entry.link,
               .attributes = LayerIndex::attributes_of(entry)});
  }
};

LayerWriter::LayerWriter(ByteSink& blob, Compression compression, WorkerPool& pool, ByteSink* plain)
    : state_(std::make_unique<State>(blob, compression, pool, plain)) {}
LayerWriter::~LayerWriter() = default;
LayerWriter::LayerWriter(LayerWriter&&) noexcept = default;

void LayerWriter::expect(size_t entries) {
  state_->index.reserve(entries);
}

void LayerWriter::add(const Entry& entry) {
  if (entry.type == FileType::file && entry.size != 0)
    throw Error("/" + entry.path + ": file without content");
  StringSource nothing("");
  add(entry, nothing);
}

void LayerWriter::add(const Entry& entry, int content_fd) {
  FdSource source(content_fd);
  add(entry, source);
}

void LayerWriter::add(const Entry& entry, ByteSource& content) {
  State& s = *state_;
  s.begin(entry);
  const uint64_t offset = s.tar_size;
  if (entry.type == FileType::file) {
    std::string kept;
    const bool keep = LayerIndex::wants_content(entry.path, entry.size);
    uint64_t left = entry.size;
    while (left != 0) {
      const std::span<std::byte> room = s.room();
      const size_t got = content.read(room.first(std::min<uint64_t>(room.size(), left)));
      if (got == 0) throw Error("/" + entry.path + ": file became shorter while it was read");
      s.content_hash.update(room.first(got));
      if (keep) kept.append(reinterpret_cast<const char*>(room.data()), got);
      s.used(got);
      left -= got;
    }
    std::byte more{};
    if (content.read(std::span(&more, 1)) != 0)
      throw Error("/" + entry.path + ": file became longer while it was read");
    s.last_digest = hex(s.content_hash.finish());
    s.pad();
    if (keep) s.index.keep_content(entry.path, std::move(kept));
  }
  s.record(entry, offset);
}

LayerBlob LayerWriter::finish() {
  State& s = *state_;
  static constexpr char zeros[2 * tar_block] = {};
  s.put(std::string_view(zeros, sizeof zeros));
  s.flush();
  s.compressor.finish();
  LayerBlob blob;
  blob.diff_id = s.diff.finish();
  blob.digest = s.end.digest();
  blob.size = s.end.size;
  blob.tar_size = s.tar_size;
  blob.entries = s.entries;
  blob.media_type = layer_media_type(s.compression);
  s.index.sort();
  blob.index = std::move(s.index);
  return blob;
}

const std::string& LayerWriter::last_content_digest() const {
  return state_->last_digest;
}

}  // namespace kiln
