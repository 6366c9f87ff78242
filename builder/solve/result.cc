#include "builder/solve/result.hh"

#include <fcntl.h>
#include <unistd.h>

#include "builder/solve/cache_key.hh"
#include "builder/store/layer_blob.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln::solve {

namespace {

// Every layer above `base` as one: applied to a workspace over it, whose changes are the layer.
ChainRef squash(Layers& layers, const ChainRef& base, const ChainRef& top, size_t base_layers) {
  const std::vector<CachedLayer> all = layers.packed(top);
  if (all.size() <= base_layers + 1) return top;
  Snapshotter& snapshots = layers.snapshots();
  auto workspace = snapshots.prepare(layers.materialise(base));
  CacheKey key("squash");
  key.add("base", key_of(base)).add("top", key_of(top)).add("nonce", random_name());
  for (size_t i = base_layers; i < all.size(); ++i)
    read_layer(layers.store(), all[i], [&](ByteSource& tar) { apply_tar(tar, workspace->root()); });
  const std::string name = key.digest().text();
  layers.store().hold_snapshot(name);
  snapshots.commit(std::move(workspace), name);
  return layers.extend(base, name, name, layers.pack_changes(name, {}));
}

void squash_history(oci::ImageConfig& config, size_t base_layers) {
  size_t seen = 0;
  oci::History* last = nullptr;
  for (oci::History& h : config.history) {
    if (h.empty_layer || seen++ < base_layers) continue;
    h.empty_layer = true;
    last = &h;
  }
  if (last != nullptr) last->empty_layer = false;
}

// Everything of a root filesystem, ready to be written in order.
struct WholeTree {
  std::unique_ptr<Rootfs> rootfs;
  std::optional<Context> context;
  CopyLayer files;
};

std::unique_ptr<WholeTree> whole_tree(Layers& layers, const ChainRef& chain) {
  auto whole = std::make_unique<WholeTree>();
  whole->rootfs = layers.snapshots().view(layers.materialise(chain));
  Fd root(fcntl(whole->rootfs->root(), F_DUPFD_CLOEXEC, 0));
  if (!root) throw SysError("open the image's root");
  whole->context.emplace(std::move(root), "the image");
  const CopyRewrite as_it_is{std::nullopt, std::nullopt, {}, {}, {}, true};
  whole->files.add_tree(*whole->context, "", whole->context->walk(""), "", as_it_is, true);
  return whole;
}

}  // namespace

ResultImage store_result(Layers& layers, const Built& built, const ResultOptions& options) {
  oci::ImageConfig config = built.config;
  ChainRef chain = built.chain;
  if (options.squash) {
    const size_t base_layers = layers.packed(built.base).size();
    chain = squash(layers, built.base, chain, base_layers);
    if (chain != built.chain) squash_history(config, base_layers);
    config.diff_ids.clear();
    for (const CachedLayer& layer : layers.packed(chain)) config.diff_ids.push_back(layer.diff_id);
  }
  for (const auto& [name, value] : options.labels) config.config.labels[name] = value;

  oci::Annotations annotations;
  if (!config.created.empty()) annotations["org.opencontainers.image.created"] = config.created;
  if (!built.base_name.empty()) {
    annotations["org.opencontainers.image.base.name"] = built.base_name;
    annotations["org.opencontainers.image.base.digest"] = built.base_digest.text();
  }
  for (const auto& [name, value] : options.annotations) annotations[name] = value;

  std::vector<oci::Descriptor> blobs;
  for (const CachedLayer& layer : layers.packed(chain)) {
    if (!layers.store().hold(layer.blob.digest))
      throw Error("layer " + layer.blob.digest.text() + " is gone from the store");
    blobs.push_back(layer.blob);
  }
  ResultImage image;
  image.manifest = store_image(layers.store(), config, std::move(blobs), annotations);
  image.config = oci::read_manifest(layers.store().read_blob(image.manifest.digest),
                                    image.manifest.digest.text())
                     .config.digest;
  return image;
}

void write_root_tar(Layers& layers, const ChainRef& chain, ByteSink& out) {
  const auto whole = whole_tree(layers, chain);
  LayerWriter writer(out, Compression::none, layers.pool());
  whole->files.write(writer);
  writer.finish();
}

void write_root_directory(Layers& layers, const ChainRef& chain, const std::string& directory) {
  make_dir_at(AT_FDCWD, directory);
  const Fd into(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!into) throw SysError("open " + directory);
  const auto whole = whole_tree(layers, chain);
  ApplyOptions options;
  options.kind = ApplyOptions::Kind::archive;
  // For the person who asks: without root the files are theirs, not those of their ranges.
  options.owners = options.devices = geteuid() == 0 && !user_namespace().entered();
  Applier applier(into.get(), options);
  whole->files.apply(applier);
  applier.finish();
}

}  // namespace kiln::solve
