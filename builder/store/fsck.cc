#include "builder/store/fsck.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "builder/store/cache.hh"
#include "builder/store/image.hh"
#include "builder/store/layer_blob.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

std::vector<std::string> names_in(int parent, const char* name) {
  std::vector<std::string> result;
  Fd directory(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory) return result;
  DIR* stream = fdopendir(directory.get());
  if (stream == nullptr) throw SysError(std::string("read ") + name);
  directory.release();
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, closedir);
  while (const dirent* entry = readdir(stream)) {
    const std::string_view file = entry->d_name;
    if (file != "." && file != "..") result.emplace_back(file);
  }
  std::ranges::sort(result);
  return result;
}

class Check {
 public:
  // What refers to blobs is read before the blobs are looked at: a blob that appears meanwhile is
  // then merely unknown, never missing.
  Check(Store& store, bool repair)
      : store_(store),
        repair_(repair),
        entries_(store.images()),
        records_(BuildCache(store).all()) {}
  FsckResult result;

  void blobs() {
    const Fd blobs = open_dir_at(store_.directory(), "blobs");
    for (const std::string& algorithm : names_in(store_.directory(), "blobs"))
      for (const std::string& name : names_in(blobs.get(), algorithm.c_str()))
        blob(blobs.get(), algorithm, name);
  }

  // Every entry of index.json, down to its layers.
  void images() {
    std::set<std::string> broken;
    for (const NamedImage& image : entries_) {
      ++result.images;
      const std::string shown =
          image.name.empty() ? image.descriptor.digest.text() : "image " + image.name;
      for (const oci::Descriptor& d : reachable(store_, image.descriptor)) {
        const auto it = sizes_.find(d.digest.text());
        if (it != sizes_.end() && it->second == static_cast<uint64_t>(d.size)) {
          document(shown, d, image, broken);
          continue;
        }
        // An index may describe platforms that were never fetched.
        if (it == sizes_.end() && absence_is_fine(image, d)) continue;
        broken.insert(image.descriptor.digest.text());
        damage(shown + ": blob " + d.digest.text() +
                   (it == sizes_.end() ? " is missing" : " has another size than described"),
               repair_);
      }
    }
    if (repair_ && !broken.empty())
      store_.remove_images(
          [&](const NamedImage& image) { return broken.contains(image.descriptor.digest.text()); });
  }

  void records() {
    BuildCache cache(store_);
    for (const auto& stored : records_) {
      ++result.records;
      std::string wrong;
      if (!stored.record)
        wrong = "is damaged";
      else
        for (const CachedLayer& layer : stored.record->layers)
          if (!sizes_.contains(layer.blob.digest.text()))
            wrong = "needs the missing blob " + layer.blob.digest.text();
      if (wrong.empty()) continue;
      if (repair_) cache.remove(stored.key);
      damage("cache record " + stored.key.text() + " " + wrong, repair_);
    }
  }

  // A damaged index is made anew where the layer is there.
  void indexes() {
    std::map<std::string, CachedLayer> layers;
    for (const std::string& name : names_in(store_.records(), "layer-index")) {
      const auto digest = oci::Digest::parse("sha256:" + name);
      if (digest && store_.layer_index(*digest)) continue;
      if (repair_) {
        unlinkat(store_.records(), ("layer-index/" + name).c_str(), 0);
        if (layers.empty()) layers = known_layers();
        const auto layer = layers.find("sha256:" + name);
        if (layer != layers.end()) rebuild_index(layer->second);
      }
      damage("index of layer " + name + " is damaged", repair_);
    }
  }

 private:
  // By diff id, those whose blobs are sound.
  std::map<std::string, CachedLayer> known_layers() {
    std::map<std::string, CachedLayer> layers;
    const auto add = [&](const oci::Descriptor& blob, const oci::Digest& diff_id) {
      if (sizes_.contains(blob.digest.text())) layers.try_emplace(diff_id.text(), blob, diff_id);
    };
    for (const auto& stored : records_)
      if (stored.record)
        for (const CachedLayer& layer : stored.record->layers) add(layer.blob, layer.diff_id);
    for (const NamedImage& image : entries_)
      for (const oci::Descriptor& d : reachable(store_, image.descriptor)) try {
          if (d.media_type != oci::media::manifest && d.media_type != oci::media::docker_manifest)
            continue;
          const oci::Manifest manifest =
              oci::read_manifest(store_.read_blob(d.digest), d.digest.text());
          const oci::ImageConfig config = oci::read_image_config(
              store_.read_blob(manifest.config.digest), manifest.config.digest.text());
          for (size_t i = 0; i < std::min(manifest.layers.size(), config.diff_ids.size()); ++i)
            add(manifest.layers[i], config.diff_ids[i]);
        } catch (const std::exception&) {
          continue;  // images() told of it
        }
    return layers;
  }

  void rebuild_index(const CachedLayer& layer) {
    try {
      index_of_layer(store_, layer);
    } catch (const Error& error) {
      damage(error.message(), false);
    }
  }

  void damage(std::string what, bool repaired) {
    result.damage.push_back({std::move(what), repaired});
  }

  void blob(int blobs, const std::string& algorithm, const std::string& name) {
    const std::string path = algorithm + "/" + name;
    const auto digest = oci::Digest::parse(algorithm + ":" + name);
    if (!digest) {
      // Not ours to remove: some tool keeps its temporary files here.
      damage("blobs/" + path + " is not named by a digest", false);
      return;
    }
    const Fd file(openat(blobs, path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat status {};
    std::string wrong;
    if (!file || fstat(file.get(), &status) != 0)
      wrong = "cannot be read: " + error_text(errno);
    else if (!S_ISREG(status.st_mode))
      wrong = "is no regular file";
    else {
      oci::Hasher hasher(digest->algorithm());
      std::vector<std::byte> buffer(size_t{1} << 20);
      uint64_t size = 0;
      FdSource source(file.get());
      while (const size_t n = source.read(buffer)) {
        hasher.update(std::span(buffer).first(n));
        size += n;
      }
      ++result.blobs;
      result.bytes += size;
      if (hasher.finish() == *digest) {
        sizes_[digest->text()] = size;
        return;
      }
      wrong = "has another content than its name says";
    }
    const bool removed = repair_ && unlinkat(blobs, path.c_str(), 0) == 0;
    damage("blob " + digest->text() + " " + wrong, removed);
  }

  bool absence_is_fine(const NamedImage& image, const oci::Descriptor& d) const {
    const bool index = image.descriptor.media_type == oci::media::index ||
                       image.descriptor.media_type == oci::media::docker_manifest_list;
    return index && d.digest != image.descriptor.digest &&
           (d.media_type == oci::media::manifest || d.media_type == oci::media::docker_manifest);
  }

  // The blob is as described; whether it means anything is still to be seen.
  void document(const std::string& shown, const oci::Descriptor& d, const NamedImage& image,
                std::set<std::string>& broken) {
    try {
      if (d.media_type == oci::media::manifest || d.media_type == oci::media::docker_manifest)
        oci::read_manifest(store_.read_blob(d.digest), d.digest.text());
      else if (d.media_type == oci::media::index ||
               d.media_type == oci::media::docker_manifest_list)
        oci::read_index(store_.read_blob(d.digest), d.digest.text());
      else if (d.media_type == oci::media::config || d.media_type == oci::media::docker_config)
        oci::read_image_config(store_.read_blob(d.digest), d.digest.text());
    } catch (const std::exception& error) {
      broken.insert(image.descriptor.digest.text());
      damage(shown + ": " + error.what(), repair_);
    }
  }

  Store& store_;
  bool repair_;
  std::vector<NamedImage> entries_;
  std::vector<BuildCache::Stored> records_;
  std::map<std::string, uint64_t> sizes_;  // sound blobs
};

}  // namespace

namespace {

// Half-written blobs of writers that are gone, and leases of the dead: no damage, removed in
// passing.
void sweep_unfinished(Store& store) {
  const CollectLock lock(store.records(), CollectLock::Mode::exclusive);
  held_things(store.records());
  const Fd ingest = open_dir_at(store.records(), "ingest");
  for (const std::string& name : names_in(store.records(), "ingest")) {
    const Fd file(openat(ingest.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (file && flock(file.get(), LOCK_EX | LOCK_NB) == 0) unlinkat(ingest.get(), name.c_str(), 0);
  }
}

}  // namespace

FsckResult fsck(Store& store, bool repair) {
  FsckResult result;
  {
    // Shared: builders go on, collection waits.
    const CollectLock lock(store.records(), CollectLock::Mode::shared);
    Check check(store, repair);
    check.blobs();
    check.images();
    check.records();
    check.indexes();
    result = std::move(check.result);
  }
  if (repair) sweep_unfinished(store);
  return result;
}

}  // namespace kiln
