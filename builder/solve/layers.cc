#include "builder/solve/layers.hh"

#include "builder/layer/apply.hh"
#include "builder/layer/tar_reader.hh"
#include "builder/store/layer_blob.hh"
#include "builder/sys/error.hh"

namespace kiln::solve {

namespace {

// From so many entries on a copy's snapshot is an image: below that mounting it costs what it
// saves.
constexpr size_t many_entries = 256;

template <class T>
std::shared_future<T> ready(T value) {
  std::promise<T> promise;
  promise.set_value(std::move(value));
  return promise.get_future().share();
}

// The content of the current entry of a TarReader.
class EntryContent final : public ByteSource {
 public:
  explicit EntryContent(TarReader& tar) : tar_(tar) {}
  size_t read(std::span<std::byte> data) override { return tar_.read(data); }

 private:
  TarReader& tar_;
};

}  // namespace

Layers::Layers(Store& store, Compression compression, bool forced_copy)
    : store_(store), compression_(compression), forced_copy_(forced_copy) {}

Layers::~Layers() = default;

ChainRef Layers::chain_of(const Image& image) {
  const std::vector<std::string> keys = chain_ids(image.config.diff_ids);
  ChainRef chain;
  for (size_t i = 0; i < keys.size(); ++i)
    chain = extend(chain, keys[i], keys[i],
                   {{image.manifest.layers[i], image.config.diff_ids[i]}, nullptr});
  return chain;
}

ChainRef Layers::extend(const ChainRef& parent, const std::string& key, const std::string& snapshot,
                        PackedLayer layer) {
  return extend(parent, key, snapshot, ready(std::move(layer)));
}

ChainRef Layers::extend(const ChainRef& parent, const std::string& key, const std::string& snapshot,
                        std::shared_future<PackedLayer> layer) {
  return std::make_shared<Chain>(Chain{parent, key, snapshot, std::move(layer)});
}

std::mutex& Layers::lock_of(const std::string& key) {
  const std::lock_guard lock(mutex_);
  auto& slot = key_locks_[key];
  if (!slot) slot = std::make_unique<std::mutex>();
  return *slot;
}

std::shared_ptr<const LayerIndex> Layers::index_of(const CachedLayer& layer) {
  const std::lock_guard lock(lock_of("index " + layer.diff_id.text()));
  return std::make_shared<const LayerIndex>(index_of_layer(store_, layer));
}

MergedIndex Layers::index(const ChainRef& chain) {
  std::vector<const Chain*> nodes;
  for (const Chain* c = chain.get(); c != nullptr; c = c->parent.get()) nodes.push_back(c);
  MergedIndex merged;
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    const PackedLayer& packed = (*node)->layer.get();
    merged.push(packed.index ? packed.index : index_of(packed.layer));
  }
  return merged;
}

std::vector<CachedLayer> Layers::packed(const ChainRef& chain) {
  std::vector<CachedLayer> layers;
  for (const Chain* c = chain.get(); c != nullptr; c = c->parent.get())
    layers.insert(layers.begin(), c->layer.get().layer);
  return layers;
}

Snapshotter& Layers::snapshots() {
  const std::lock_guard lock(mutex_);
  if (!snapshots_) {
    using Kind = Snapshotter::Kind;
    if (!forced_copy_)
      if (const std::string directory = store_.sub_directory(snapshots_directory(Kind::overlay));
          why_no_overlay(directory).empty())
        snapshots_ = open_overlay_snapshotter(directory);
    if (!snapshots_)
      snapshots_ = open_copy_snapshotter(store_.sub_directory(snapshots_directory(Kind::copy)));
  }
  return *snapshots_;
}

std::string Layers::materialise(const ChainRef& chain) {
  if (!chain) return "";
  Snapshotter& snapshotter = snapshots();
  store_.hold_snapshot(chain->snapshot);
  if (snapshotter.has(chain->snapshot)) return chain->snapshot;
  if (snapshotter.kind() == Snapshotter::Kind::copy) return materialise_whole(chain);
  const std::string parent = materialise(chain->parent);
  const CachedLayer layer = chain->layer.get().layer;
  const std::lock_guard lock(lock_of("snapshot " + chain->snapshot));
  if (snapshotter.has(chain->snapshot)) return chain->snapshot;
  read_layer(store_, layer,
             [&](ByteSource& tar) { snapshotter.unpack(chain->snapshot, parent, tar); });
  return chain->snapshot;
}

// Trees that are whole: one for each layer would be as many copies of what lies below it, so all
// that are missing are unpacked into the last.
std::string Layers::materialise_whole(const ChainRef& chain) {
  Snapshotter& snapshotter = snapshots();
  const std::lock_guard lock(lock_of("snapshot " + chain->snapshot));
  if (snapshotter.has(chain->snapshot)) return chain->snapshot;
  std::vector<const Chain*> missing;
  const Chain* below = chain.get();
  for (; below != nullptr; below = below->parent.get()) {
    store_.hold_snapshot(below->snapshot);
    if (snapshotter.has(below->snapshot)) break;
    missing.push_back(below);
  }
  std::unique_ptr<Rootfs> tree = snapshotter.prepare(below == nullptr ? "" : below->snapshot);
  for (auto node = missing.rbegin(); node != missing.rend(); ++node)
    read_layer(store_, (*node)->layer.get().layer,
               [&](ByteSource& tar) { apply_tar(tar, tree->root()); });
  snapshotter.commit(std::move(tree), chain->snapshot, {});
  return chain->snapshot;
}

PackedLayer Layers::pack(const std::function<void(LayerWriter&)>& fill, ByteSink* plain) {
  BlobWriter blob = store_.new_blob();
  LayerBlob made;
  {  // its buffers go before the index is written
    LayerWriter writer(blob, compression_, pool_, plain);
    fill(writer);
    made = writer.finish();
  }
  const auto written = blob.finish(made.digest, made.size, Sync::no);
  oci::Descriptor descriptor;
  descriptor.media_type = made.media_type;
  descriptor.digest = written.digest;
  descriptor.size = static_cast<int64_t>(written.size);
  store_.put_layer_index(made.diff_id, made.index);
  return {{std::move(descriptor), made.diff_id},
          std::make_shared<const LayerIndex>(std::move(made.index))};
}

Layers::PackedCopy Layers::pack_copy(const CopyLayer& copy, const CopyObserver& observer,
                                     const ChainRef& parent, bool unpack, bool stacks) {
  PackedCopy made;
  CopyObserver all = observer;
  std::optional<BackgroundApplier> applier;
  if (unpack && stacks && copy.size() >= many_entries)
    made.tar = snapshots().try_prepare_tar(materialise(parent));
  if (unpack && !made.tar) {
    made.tree = snapshots().prepare(materialise(parent));
    all.applier = &applier.emplace(made.tree->root(), ApplyOptions{});
  }
  made.layer = pack([&](LayerWriter& writer) { copy.write(writer, all); },
                    made.tar ? &made.tar->tar() : nullptr);
  // Without it the layer is unpacked when it is needed, and says then what is wrong.
  if (applier && applier->finish()) {
    applier.reset();
    made.tree.reset();
  }
  return made;
}

void Layers::commit_copy(PackedCopy& copy, const std::string& snapshot) {
  if (!copy.tree && !copy.tar) return;
  store_.hold_snapshot(snapshot);
  if (copy.tar) {
    // A layer that does not fit is unpacked when it is needed.
    snapshots().try_commit_tar(std::move(copy.tar), *copy.layer.index, snapshot);
    return;
  }
  snapshots().commit(std::move(copy.tree), snapshot, {});
}

PackedLayer Layers::pack_changes(const std::string& key, const ChangeOptions& options,
                                 ChangeStats* stats) {
  return pack([&](LayerWriter& writer) {
    const ChangeStats found = snapshots().changes(key, writer, options);
    if (stats != nullptr) *stats = found;
  });
}

PackedLayer Layers::repack(const CachedLayer& layer, const std::function<void(Entry&)>& change) {
  return pack([&](LayerWriter& writer) {
    read_layer(store_, layer, [&](ByteSource& source) {
      TarReader tar(source);
      while (auto entry = tar.next()) {
        change(*entry);
        EntryContent content(tar);
        if (entry->type == FileType::file && entry->size > 0)
          writer.add(*entry, content);
        else
          writer.add(*entry);
      }
      tar.drain();
    });
  });
}

PackedLayer Layers::restamp(const CachedLayer& layer, const ChainRef& parent,
                            std::optional<int64_t> was, int64_t epoch) {
  const MergedIndex below = index(parent);
  return repack(layer, [&](Entry& entry) {
    if (entry.mtime <= epoch && !(was && entry.mtime == *was)) return;
    // One that is listed for what is in it has the time that it has below (ChangeOptions).
    if (entry.type == FileType::directory)
      if (const auto old = below.lookup(entry.path);
          old && old->type == FileType::directory && old->mtime == entry.mtime)
        return;
    entry.mtime = epoch;
  });
}

PackedLayer Layers::recompress(const CachedLayer& layer) {
  PackedLayer made = repack(layer, [](Entry&) {});
  if (made.layer.diff_id != layer.diff_id)
    throw Error("layer " + layer.blob.digest.text() + " is another one when it is packed anew");
  return made;
}

}  // namespace kiln::solve
