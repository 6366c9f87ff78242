// Owns: the local store, a directory that is a valid OCI image layout (blobs, index.json) with
// kiln's own records in its sub-directory `kiln/`; blobs, names, and what keeps them from being
// collected while this process works.
// Does not own: build cache records (cache.hh), collection (collect.hh), checking (fsck.hh), or
// what blobs contain (image.hh).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/layer/layer_index.hh"
#include "builder/layer/stream.hh"
#include "builder/registry/reference.hh"
#include "builder/store/lease.hh"
#include "builder/sys/fd.hh"
#include "builder/sys/file.hh"
#include "oci-spec/image.hh"

namespace kiln {

class Store;

// image-spec annotations.md: the name of an entry of index.json; and containerd's own, which it
// prefers to the other.
inline constexpr const char* ref_name_annotation = "org.opencontainers.image.ref.name";
inline constexpr const char* containerd_name_annotation = "io.containerd.image.name";

// Manifests, indexes and configs are read whole; the readers of oci-spec have smaller bounds.
inline constexpr size_t document_limit = size_t{16} << 20;

// A blob being written: a temporary file, hashed on the way, that appears under its digest when it
// is finished. Destroyed before that it leaves nothing; after kill -9 the next prune or fsck
// removes the file, knowing from its lock that nobody writes it any more.
class BlobWriter final : public ByteSink {
 public:
  BlobWriter(BlobWriter&&) noexcept;
  BlobWriter& operator=(BlobWriter&&) = delete;
  ~BlobWriter() override;

  void write(std::span<const std::byte> data) override;
  uint64_t size() const { return size_; }

  struct Written {
    oci::Digest digest;
    uint64_t size = 0;
  };
  // Throws Error when the content is not what was expected; then nothing is kept. The blob is held
  // for this process (see Store::hold). Sync::data costs a disk flush; with Sync::no the blob is
  // durable after the next Store::sync(), which flushes all such blobs of this process together.
  // Until then a power failure may leave it short: who relies on it compares its size.
  Written finish(const std::optional<oci::Digest>& digest = {},
                 const std::optional<uint64_t>& size = {}, Sync sync = Sync::data);

 private:
  friend class Store;
  BlobWriter(Store& store, Fd file, std::string name, std::string_view algorithm);

  Store* store_;
  Fd file_;
  std::string name_;  // in ingest/
  std::string algorithm_;
  oci::Hasher hasher_;
  uint64_t size_ = 0;
  uint64_t started_ = 0;  // bytes whose way to the disk has begun
};

// One entry of index.json. `name` is the complete reference ("docker.io/library/a:1") where the
// annotations hold one, a foreign tool's bare tag as it stands, or empty.
struct NamedImage {
  std::string name;
  oci::Descriptor descriptor;
};

// Thread-safe; any number of processes may have the same directory open.
class Store {
 public:
  // Creates what is missing. Throws when the directory holds something that is no OCI layout.
  explicit Store(const std::string& directory);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // `option` (--store), else $KILN_STORE, else $XDG_DATA_HOME/kiln, else ~/.local/share/kiln.
  static std::string default_directory(std::string_view option = {});

  const std::string& path() const { return path_; }  // absolute
  int directory() const { return root_.get(); }
  int records() const { return kiln_.get(); }  // the sub-directory kiln/
  // Host path of kiln/NAME, created: "snapshots", "volumes", "memo" …
  std::string sub_directory(const std::string& name) const;

  // ---- blobs ----
  // Size in bytes, nullopt when it is not there. Does not hold it.
  std::optional<uint64_t> blob_size(const oci::Digest& digest) const;
  // Makes sure that collection leaves the blob alone while this Store lives, and notes its use.
  // False when it is not there. Call before relying on any blob that this process did not write.
  bool hold(const oci::Digest& digest);
  // The same for a snapshot key, which need not exist yet.
  void hold_snapshot(const std::string& key);

  Fd open_blob(const oci::Digest& digest) const;  // throws Error when it is not there
  std::string blob_path(const oci::Digest& digest) const;
  // A document, checked against its digest; throws Error when it is not, or larger than `limit`.
  std::string read_blob(const oci::Digest& digest, size_t limit = document_limit) const;

  BlobWriter new_blob(std::string_view algorithm = "sha256");
  // A small document. The descriptor has media type, digest and size.
  oci::Descriptor put_blob(std::string_view content, std::string_view media_type,
                           Sync sync = Sync::data);
  // Flushes what finish() left unsynced and the directory of blobs: once, after all blobs of a
  // command and before a name points to them.
  void sync();

  // ---- indexes of layers, by diff id; caches, rebuilt by whoever misses one ----
  std::optional<LayerIndex> layer_index(const oci::Digest& diff_id) const;
  void put_layer_index(const oci::Digest& diff_id, const LayerIndex& index);

  // ---- names ----
  std::vector<NamedImage> images() const;
  // By complete reference or by a foreign tool's bare name. The descriptor has no annotations of
  // the name.
  std::optional<oci::Descriptor> find_name(std::string_view name) const;
  // Points `name` (empty: none) to `target`, whose blob must be held; another image that had the
  // name stays, nameless.
  void set_name(const std::string& name, const oci::Descriptor& target);
  // False when there is no such name. The image stays, nameless, only if `keep`.
  bool remove_name(std::string_view name, bool keep = false);
  // Removes every entry of index.json for which `unwanted` returns true, in one step.
  void remove_images(const std::function<bool(const NamedImage&)>& unwanted);

 private:
  friend class BlobWriter;
  void sync_later(Fd file);
  void update_index(const std::function<bool(oci::Index&)>& change);
  Lease& lease();

  std::string path_;
  Fd root_, blobs_, kiln_, ingest_;
  std::mutex mutex_;
  std::optional<Lease> lease_;
  std::vector<Fd> unsynced_;
};

// The name that an entry of index.json goes by, "" for none; see NamedImage.
std::string image_name(const oci::Descriptor& entry);

}  // namespace kiln
