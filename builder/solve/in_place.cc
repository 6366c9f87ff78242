#include "builder/solve/in_place.hh"

#include <vector>

#include "builder/store/layer_blob.hh"
#include "builder/sys/error.hh"

namespace kiln::solve {

namespace {

class TakenRoot final : public Rootfs {
 public:
  explicit TakenRoot(const InPlaceRoot& root) : root_(root) {}
  int root() const override { return root_.fd(); }
  const std::string& path() const override { return root_.path(); }
  std::string written() const override { return root_.path(); }

 private:
  const InPlaceRoot& root_;
};

}  // namespace

std::unique_ptr<Rootfs> InPlace::take(Layers& layers, const ChainRef& chain) {
  root_.make_room_for(layers.index(chain));
  std::vector<const Chain*> missing;
  const Chain* at = chain.get();
  for (; at != nullptr && at->snapshot != root_.holds(); at = at->parent.get())
    missing.push_back(at);
  if (at == nullptr) root_.empty();
  const std::string held = at == nullptr ? "" : at->snapshot;
  for (auto node = missing.rbegin(); node != missing.rend(); ++node) {
    const CachedLayer layer = (*node)->layer.get().layer;
    read_layer(layers.store(), layer, [this](ByteSource& tar) { root_.apply(tar); });
    root_.set_holds((*node)->snapshot);
  }
  if (missing.empty()) root_.set_holds(held);
  root_.settle();
  return std::make_unique<TakenRoot>(root_);
}

PackedLayer InPlace::pack(Layers& layers, const ChainRef& before, const std::string& snapshot,
                          const ChangeOptions& options, ChangeStats& stats) {
  root_.set_holds("");
  const MergedIndex below = layers.index(before);
  PackedLayer packed =
      layers.pack([&](LayerWriter& writer) { stats = root_.changes(below, writer, options); });
  root_.set_holds(snapshot);
  return packed;
}

size_t InPlace::remove_left_files() {
  return root_.remove_left_files(server_.left_files());
}

}  // namespace kiln::solve
