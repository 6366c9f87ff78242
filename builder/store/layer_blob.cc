#include "builder/store/layer_blob.hh"

#include "builder/layer/decompress.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

// Keeps what it reads from alive, and checks the digest when the end is reached.
class LayerSource final : public ByteSource {
 public:
  LayerSource(Fd file, const CachedLayer& layer)
      : file_(std::move(file)), raw_(file_.get()), plain_(decompress(raw_)), layer_(layer) {}

  size_t read(std::span<std::byte> data) override {
    const size_t n = plain_->read(data);
    if (n != 0) {
      hasher_.update(std::span<const std::byte>(data.data(), n));
    } else if (!checked_) {
      checked_ = true;
      if (const oci::Digest found = hasher_.finish(); found != layer_.diff_id)
        throw Error("layer " + layer_.blob.digest.text() + " unpacks to " + found.text() +
                    ", its image says " + layer_.diff_id.text());
    }
    return n;
  }

 private:
  Fd file_;
  FdSource raw_;
  std::unique_ptr<ByteSource> plain_;
  CachedLayer layer_;
  oci::Hasher hasher_;
  bool checked_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> open_layer(Store& store, const CachedLayer& layer) {
  return std::make_unique<LayerSource>(store.open_blob(layer.blob.digest), layer);
}

LayerIndex index_of_layer(Store& store, const CachedLayer& layer) {
  if (auto stored = store.layer_index(layer.diff_id)) return std::move(*stored);
  const auto tar = open_layer(store, layer);
  LayerIndex index = LayerIndex::from_tar(*tar);
  store.put_layer_index(layer.diff_id, index);
  return index;
}

}  // namespace kiln
