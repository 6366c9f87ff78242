#include "builder/store/layer_blob.hh"

#include "builder/layer/decompress.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

// Keeps what it reads from alive, and checks the digest when the end is reached.
class LayerSource final : public ByteSource {
 public:
  LayerSource(Fd file, const oci::Digest& diff_id)
      : file_(std::move(file)), raw_(file_.get()), plain_(decompress(raw_)), diff_id_(diff_id) {}

  size_t read(std::span<std::byte> data) override {
    const size_t n = plain_->read(data);
    if (n != 0) {
      hasher_.update(std::span<const std::byte>(data.data(), n));
    } else if (!checked_) {
      checked_ = true;
      if (const oci::Digest found = hasher_.finish(); found != diff_id_)
        throw Error("unpacks to " + found.text() + ", its image says " + diff_id_.text());
    }
    return n;
  }

 private:
  Fd file_;
  FdSource raw_;
  std::unique_ptr<ByteSource> plain_;
  oci::Digest diff_id_;
  oci::Hasher hasher_;
  bool checked_ = false;
};

}  // namespace

void read_layer(Store& store, const CachedLayer& layer,
                const std::function<void(ByteSource& tar)>& use) {
  try {
    LayerSource tar(store.open_blob(layer.blob.digest), layer.diff_id);
    use(tar);
  } catch (Error& error) {
    error.prepend("layer " + layer.blob.digest.text());
    throw;
  }
}

LayerIndex index_of_layer(Store& store, const CachedLayer& layer) {
  if (auto stored = store.layer_index(layer.diff_id)) return std::move(*stored);
  LayerIndex index;
  read_layer(store, layer, [&](ByteSource& tar) { index = LayerIndex::from_tar(tar); });
  store.put_layer_index(layer.diff_id, index);
  return index;
}

}  // namespace kiln
