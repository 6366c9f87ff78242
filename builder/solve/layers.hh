// Owns: root filesystems as chains of layers while a build works on them: layers that are still
// being packed, their indexes, and unpacking a chain only when a step must run in it.
// Does not own: which steps there are, or their keys.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "builder/layer/compress.hh"
#include "builder/layer/copy_layer.hh"
#include "builder/snapshot/snapshotter.hh"
#include "builder/store/cache.hh"
#include "builder/store/image.hh"
#include "builder/store/store.hh"
#include "builder/sys/worker_pool.hh"

namespace kiln::solve {

struct PackedLayer {
  CachedLayer layer;
  std::shared_ptr<const LayerIndex> index;
};

// One layer on top of another; null is the empty root (FROM scratch). `key` stands for the whole
// root filesystem up to here in the keys of later steps: a chain id for an image's layer, else made
// from the step's key. `snapshot` names its unpacked form: the same, and also the epoch that its
// times were clamped to, which no key depends on.
struct Chain;
using ChainRef = std::shared_ptr<const Chain>;
struct Chain {
  ChainRef parent;
  std::string key;
  std::string snapshot;
  std::shared_future<PackedLayer> layer;  // throws what packing threw
};

inline std::string key_of(const ChainRef& chain) {
  return chain ? chain->key : "";
}

// Thread-safe.
class Layers {
 public:
  // `forced_copy`: the copying snapshotter also where overlay would work.
  Layers(Store& store, Compression compression, bool forced_copy);
  ~Layers();

  Store& store() { return store_; }
  WorkerPool& pool() { return pool_; }
  Compression compression() const { return compression_; }

  // An image's layers. Nothing is read yet.
  ChainRef chain_of(const Image& image);
  // A layer that is there: from a cache record (without an index), or just packed.
  ChainRef extend(const ChainRef& parent, const std::string& key, const std::string& snapshot,
                  PackedLayer layer);
  // A layer that is being made elsewhere.
  ChainRef extend(const ChainRef& parent, const std::string& key, const std::string& snapshot,
                  std::shared_future<PackedLayer> layer);

  // What the root filesystem contains; waits for layers that are being packed.
  MergedIndex index(const ChainRef& chain);
  // All layers, bottom first; waits likewise.
  std::vector<CachedLayer> packed(const ChainRef& chain);

  Snapshotter& snapshots();
  // Unpacks what is not unpacked yet; the key to prepare() or view() with.
  std::string materialise(const ChainRef& chain);

  // The layer that `fill` writes, as a blob of the store with its index remembered.
  // `plain`, if given, gets the layer's tar as well.
  PackedLayer pack(const std::function<void(LayerWriter&)>& fill, ByteSink* plain = nullptr);
  // The same of a copy that a command will run on: its snapshot on top of `parent` is made at the
  // same time, from the same bytes. There is none where that failed; commit_copy() keeps it.
  // `stacks`: every entry lies where it is listed, not behind a link of the parent, and the
  // directories above it are listed.
  struct PackedCopy {
    PackedLayer layer;
    std::unique_ptr<Rootfs> tree;  // or, of many files,
    std::unique_ptr<TarSnapshot> tar;
  };
  PackedCopy pack_copy(const CopyLayer& copy, const CopyObserver& observer, const ChainRef& parent,
                       bool unpack, bool stacks);
  void commit_copy(PackedCopy& copy, const std::string& snapshot);
  // The changes of a committed snapshot.
  PackedLayer pack_changes(const std::string& key, const ChangeOptions& options,
                           ChangeStats* stats = nullptr);
  // A RUN layer of the cache on top of `parent` whose files must not be newer than `epoch`: the
  // same with their times clamped. `was` is the epoch that it was made under: files of exactly that
  // time were clamped.
  PackedLayer restamp(const CachedLayer& layer, const ChainRef& parent, std::optional<int64_t> was,
                      int64_t epoch);
  // The same content, compressed as this build wants it.
  PackedLayer recompress(const CachedLayer& layer);

 private:
  std::string materialise_whole(const ChainRef& chain);
  PackedLayer repack(const CachedLayer& layer, const std::function<void(Entry&)>& change);
  std::shared_ptr<const LayerIndex> index_of(const CachedLayer& layer);
  std::mutex& lock_of(const std::string& key);

  Store& store_;
  Compression compression_;
  bool forced_copy_;
  WorkerPool pool_;
  std::mutex mutex_;
  std::unique_ptr<Snapshotter> snapshots_;
  std::map<std::string, std::unique_ptr<std::mutex>> key_locks_;
};

}  // namespace kiln::solve
