#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "builder/layer/decompress.hh"
#include "builder/layer/layer_writer.hh"
#include "builder/store/archive.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

class TarOut {
 public:
  explicit TarOut(ByteSink& out) : out_(out) {}

  void file(const std::string& path, std::string_view content) {
    header(path, content.size());
    write(content);
    pad(content.size());
  }

  void file(const std::string& path, ByteSource& content, uint64_t size) {
    header(path, size);
    std::vector<std::byte> buffer(size_t{1} << 18);
    uint64_t left = size;
    while (left > 0) {
      const size_t n =
          content.read(std::span(buffer).first(std::min<uint64_t>(left, buffer.size())));
      if (n == 0) throw Error(path + " ended early");
      out_.write(std::span<const std::byte>(buffer).first(n));
      left -= n;
    }
    pad(size);
  }

  void finish() { write(std::string(1024, '\0')); }

 private:
  void header(const std::string& path, uint64_t size) {
    Entry entry;
    entry.path = path;
    entry.mode = 0644;
    entry.size = size;
    std::string text;
    append_tar_header(text, entry);
    write(text);
  }
  void pad(uint64_t size) { write(std::string((512 - size % 512) % 512, '\0')); }
  void write(std::string_view text) {
    out_.write(std::as_bytes(std::span(text.data(), text.size())));
  }

  ByteSink& out_;
};

std::string path_of(const oci::Digest& digest) {
  return "blobs/" + std::string(digest.algorithm()) + "/" + std::string(digest.hex());
}

bool is_zstd(const oci::Descriptor& layer) {
  return layer.media_type == oci::media::layer_zstd;
}

void put_blob(Store& store, TarOut& tar, const oci::Digest& digest, std::set<oci::Digest>& done) {
  if (!done.insert(digest).second) return;
  const auto size = store.blob_size(digest);
  const Fd file = store.open_blob(digest);
  FdSource source(file.get());
  tar.file(path_of(digest), source, size.value());
}

// A layer as plain tar, and its size. That must be known first, so it is unpacked twice.
uint64_t put_plain(Store& store, TarOut& tar, const oci::Descriptor& layer,
                   const oci::Digest& diff_id, std::set<oci::Digest>& done) {
  const auto open = [&](const auto& use) {
    const Fd file = store.open_blob(layer.digest);
    FdSource raw(file.get());
    use(*decompress(raw));
  };
  uint64_t size = 0;
  open([&](ByteSource& plain) {
    std::vector<std::byte> buffer(size_t{1} << 18);
    while (const size_t n = plain.read(buffer)) size += n;
  });
  if (done.insert(diff_id).second)
    open([&](ByteSource& plain) { tar.file(path_of(diff_id), plain, size); });
  return size;
}

}  // namespace

void save_images(Store& store, const std::vector<NamedImage>& images, ArchiveFormat format,
                 ByteSink& out) {
  using Json = nlohmann::ordered_json;
  TarOut tar(out);
  tar.file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  oci::Index index;
  std::set<oci::Digest> done;
  std::map<oci::Digest, Json> docker;  // by config, so that several names are one entry
  for (const NamedImage& named : images) {
    oci::Descriptor entry = named.descriptor;
    if (format == ArchiveFormat::oci) {
      for (const oci::Descriptor& d : reachable(store, entry)) {
        if (!store.hold(d.digest)) {
          if (d.digest == entry.digest) throw Error("blob " + d.digest.text() + " is missing");
          continue;  // a platform that was never fetched
        }
        put_blob(store, tar, d.digest, done);
      }
      index.manifests.push_back(std::move(entry));
      continue;
    }
    const Image image = load_image(store, named.descriptor, named.name);
    put_blob(store, tar, image.manifest.config.digest, done);
    Json layers = Json::array();
    oci::Manifest manifest = image.manifest;
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      oci::Descriptor& layer = manifest.layers[i];
      if (is_zstd(layer)) {
        const oci::Digest& diff_id = image.config.diff_ids[i];
        layer.size = static_cast<int64_t>(put_plain(store, tar, layer, diff_id, done));
        layer.digest = diff_id;
        layer.media_type = oci::media::layer;
      } else {
        put_blob(store, tar, layer.digest, done);
      }
      layers.push_back(path_of(layer.digest));
    }
    Json& row = docker[image.manifest.config.digest];
    if (row.is_null())
      row = {{"Config", path_of(image.manifest.config.digest)},
             {"RepoTags", Json::array()},
             {"Layers", std::move(layers)}};
    if (const auto r = parse_reference(named.name); r && !named.name.empty() && !r->tag.empty())
      row["RepoTags"].push_back(r->familiar());
    // The layout beside it is what newer Dockers read; it describes the layers as they are here.
    oci::Descriptor own = image.manifest_blob;
    if (std::ranges::any_of(image.manifest.layers, is_zstd)) {
      const std::string text = oci::write(manifest);
      own.digest = oci::Digest::sha256(text);
      own.size = static_cast<int64_t>(text.size());
      if (done.insert(own.digest).second) tar.file(path_of(own.digest), text);
    } else {
      put_blob(store, tar, own.digest, done);
    }
    own.annotations = named.descriptor.annotations;
    index.manifests.push_back(std::move(own));
  }
  if (format == ArchiveFormat::docker) {
    Json list = Json::array();
    for (auto& [config, row] : docker) list.push_back(std::move(row));
    tar.file("manifest.json", list.dump());
  }
  tar.file("index.json", oci::write(index));
  tar.finish();
}

}  // namespace kiln
