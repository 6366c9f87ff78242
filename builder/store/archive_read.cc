#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "builder/layer/decompress.hh"
#include "builder/layer/tar_reader.hh"
#include "builder/store/archive.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

constexpr size_t entry_limit = 100'000;
constexpr size_t documents_limit = size_t{64} << 20;  // all of them together, in memory
constexpr size_t layer_limit = 10'000;

// Names inside the archive are keys of maps here, never paths.
class Archive {
 public:
  Archive(Store& store, ByteSource& source) : store_(store), plain_(decompress(source)) {
    TarReader tar(*plain_, TarReader::Whiteouts::literal);
    size_t count = 0;
    while (const auto entry = tar.next()) {
      if (++count > entry_limit) throw Error("the archive has too many entries");
      take(tar, *entry);
    }
  }

  const std::string* document(const std::string& name) const {
    const auto it = documents_.find(name);
    return it == documents_.end() ? nullptr : &it->second;
  }

  // What a name of Docker's manifest.json leads to, through at most one link (older Dockers wrote
  // a layer once and links to it).
  std::optional<BlobWriter::Written> blob(std::string name) const {
    for (int hop = 0; hop < 2; ++hop) {
      if (const auto it = blobs_.find(name); it != blobs_.end()) return it->second;
      const auto link = links_.find(name);
      if (link == links_.end()) return std::nullopt;
      name = link->second;
    }
    return std::nullopt;
  }

 private:
  void take(TarReader& tar, const Entry& entry) {
    if (entry.type == FileType::hardlink) links_[entry.path] = entry.link;
    if (entry.type == FileType::symlink) links_[entry.path] = beside(entry.path, entry.link);
    if (entry.type != FileType::file) return;
    const std::string_view base = base_name(entry.path);
    const bool top = entry.path.find('/') == std::string::npos;
    if (top && (base.ends_with(".json") || base == "oci-layout" || base == "repositories")) {
      documents_[entry.path] = text(tar, entry);
      return;
    }
    if (base == "json" || base == "VERSION") return;  // Docker's format before 1.10
    std::optional<oci::Digest> wanted;
    if (entry.path.starts_with("blobs/")) {
      std::string name = entry.path.substr(6);
      std::ranges::replace(name, '/', ':');
      auto parsed = oci::Digest::parse(name);
      if (!parsed) throw Error(entry.path + ": " + parsed.error());
      wanted = std::move(*parsed);
    }
    BlobWriter writer = store_.new_blob(wanted ? wanted->algorithm() : "sha256");
    std::vector<std::byte> buffer(size_t{1} << 18);
    while (const size_t n = tar.read(buffer)) writer.write(std::span(buffer).first(n));
    try {
      blobs_[entry.path] = writer.finish(wanted);
    } catch (Error& error) {
      error.prepend(entry.path);
      throw;
    }
  }

  std::string text(TarReader& tar, const Entry& entry) {
    held_ += entry.size;
    if (entry.size > document_limit || held_ > documents_limit)
      throw Error(entry.path + " is too large for a document");
    std::string content(entry.size, '\0');
    size_t at = 0;
    while (const size_t n = tar.read(std::as_writable_bytes(std::span(content).subspan(at))))
      at += n;
    return content;
  }

  // Target of a link relative to its own directory, "../ID/layer.tar"; lexically.
  static std::string beside(std::string_view path, std::string_view target) {
    std::string base(parent_path(path));
    while (target.starts_with("../")) {
      base = std::string(parent_path(base));
      target.remove_prefix(3);
    }
    return base.empty() ? std::string(target) : base + "/" + std::string(target);
  }

  Store& store_;
  std::unique_ptr<ByteSource> plain_;
  std::map<std::string, std::string> documents_, links_;
  std::map<std::string, BlobWriter::Written> blobs_;
  size_t held_ = 0;
};

// An entry of index.json whose every part is there.
std::string load_entry(Store& store, const oci::Descriptor& entry) {
  const std::string name = image_name(entry);
  for (const oci::Descriptor& d : reachable(store, entry)) {
    const auto size = store.blob_size(d.digest);
    const bool manifest = d.media_type == oci::media::manifest && d.digest != entry.digest;
    if (!size && manifest) continue;  // a platform that was not saved
    if (!size || static_cast<int64_t>(*size) != d.size || !store.hold(d.digest))
      throw Error("image " + (name.empty() ? entry.digest.text() : name) + ": blob " +
                  d.digest.text() + " is missing or of another size");
  }
  load_image(store, entry, name);  // its documents are sound and agree
  oci::Descriptor target = entry;
  store.set_name(name, target);
  return name.empty() ? entry.digest.text() : name;
}

// One entry of Docker's manifest.json.
void load_docker(Store& store, const Archive& archive, const nlohmann::json& item,
                 std::vector<std::string>& loaded) {
  const auto string = [&](const nlohmann::json& value) -> std::string {
    if (!value.is_string()) throw Error("manifest.json: expected a string");
    return value.get<std::string>();
  };
  if (!item.is_object() || !item.contains("Config") || !item.contains("Layers") ||
      !item["Layers"].is_array() || item["Layers"].size() > layer_limit)
    throw Error("manifest.json: an entry lacks Config or Layers");
  const std::string config_name = string(item["Config"]);
  std::string text;
  if (const std::string* document = archive.document(config_name))
    text = *document;
  else if (const auto blob = archive.blob(config_name))
    text = store.read_blob(blob->digest);
  else
    throw Error("manifest.json: config " + config_name + " is not in the archive");
  const oci::ImageConfig config = oci::read_image_config(text, config_name);
  if (config.diff_ids.size() != item["Layers"].size())
    throw Error("manifest.json: " + std::to_string(item["Layers"].size()) +
                " layers, the config has " + std::to_string(config.diff_ids.size()));
  oci::Manifest manifest;
  manifest.config = store.put_blob(text, oci::media::config);
  for (size_t i = 0; i < config.diff_ids.size(); ++i) {
    const std::string name = string(item["Layers"][i]);
    const auto blob = archive.blob(name);
    if (!blob) throw Error("manifest.json: layer " + name + " is not in the archive");
    oci::Descriptor layer;
    layer.digest = blob->digest;
    layer.size = static_cast<int64_t>(blob->size);
    // Plain or compressed: only the plain content's digest says that it is the right layer.
    const Fd file = store.open_blob(blob->digest);
    std::byte start[8] = {};
    FdSource probe(file.get());
    const size_t n = read_full(probe, start);
    const Magic magic = detect_magic(std::span(start).first(n));
    layer.media_type = magic == Magic::gzip   ? oci::media::layer_gzip
                       : magic == Magic::zstd ? oci::media::layer_zstd
                                              : oci::media::layer;
    const Fd again = store.open_blob(blob->digest);
    FdSource raw(again.get());
    const auto plain = decompress(raw);
    oci::Hasher hasher(config.diff_ids[i].algorithm());
    std::vector<std::byte> buffer(size_t{1} << 18);
    while (const size_t got = plain->read(buffer))
      hasher.update(std::span<const std::byte>(buffer).first(got));
    if (hasher.finish() != config.diff_ids[i])
      throw Error("layer " + name + " is not what the config says it is (" +
                  config.diff_ids[i].text() + ")");
    manifest.layers.push_back(std::move(layer));
  }
  oci::Descriptor target = store.put_blob(oci::write(manifest), manifest.media_type);
  target.platform = oci::Platform{
      .architecture = config.architecture, .os = config.os, .variant = config.variant};
  bool named = false;
  if (item.contains("RepoTags") && item["RepoTags"].is_array())
    for (const auto& tag : item["RepoTags"]) {
      const std::string name = require_reference(string(tag)).text();
      store.set_name(name, target);
      loaded.push_back(name);
      named = true;
    }
  if (!named) {
    store.set_name("", target);
    loaded.push_back(target.digest.text());
  }
}

}  // namespace

std::vector<std::string> load_images(Store& store, ByteSource& source) {
  const Archive archive(store, source);
  std::vector<std::string> loaded;
  if (const std::string* text = archive.document("index.json")) {
    const oci::Index index = oci::read_index(*text, "index.json");
    for (const oci::Descriptor& entry : index.manifests) loaded.push_back(load_entry(store, entry));
    if (!loaded.empty()) return loaded;
  }
  if (const std::string* text = archive.document("manifest.json")) {
    const auto list = nlohmann::json::parse(*text, nullptr, false);
    if (!list.is_array()) throw Error("manifest.json: is no list");
    for (const auto& item : list) load_docker(store, archive, item, loaded);
    return loaded;
  }
  throw Error(
      "this is neither an OCI archive (no index.json with images) nor a Docker archive (no "
      "manifest.json)");
}

}  // namespace kiln
