#include "builder/store/collect.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "builder/store/cache.hh"
#include "builder/store/image.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

// A foreign tool that copies into the layout writes blobs first and index.json last, and knows no
// lease: what is younger than this is left to it.
constexpr int64_t foreign_grace = 600;  // seconds

struct FoundFile {
  std::string name;
  int64_t changed = 0;  // the later of mtime and ctime
  uint64_t bytes = 0;   // allocated
};

std::vector<FoundFile> files_in(int parent, const char* name) {
  std::vector<FoundFile> result;
  Fd directory(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory) {
    if (errno == ENOENT) return result;
    throw SysError(std::string("open ") + name);
  }
  DIR* stream = fdopendir(directory.get());
  if (stream == nullptr) throw SysError(std::string("read ") + name);
  const int fd = directory.release();
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, closedir);
  while (const dirent* entry = readdir(stream)) {
    struct stat status {};
    const std::string_view file = entry->d_name;
    if (file == "." || file == ".." ||
        fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    result.push_back({std::string(file), std::max(status.st_mtim.tv_sec, status.st_ctim.tv_sec),
                      static_cast<uint64_t>(status.st_blocks) * 512});
  }
  return result;
}

using Things = std::set<std::string, std::less<>>;

void add_reachable(const Store& store, const oci::Descriptor& top, Things& to) {
  for (const oci::Descriptor& d : reachable(store, top)) to.insert(d.digest.text());
}

void add_layers(const CacheRecord& record, Things& to) {
  for (const CachedLayer& layer : record.layers) to.insert(layer.blob.digest.text());
}

// Collection of one run, in the order of prune(). All of it happens under the exclusive lock.
class Collection {
 public:
  Collection(Store& store, const PruneOptions& options)
      : store_(store), options_(options), cache_(store), held_(held_things(store.records())) {}

  Pruned result;

  void choose_images() {
    const auto unwanted = [&](const NamedImage& image) {
      if (!image.name.empty() && !options_.all) return false;
      if (held_.contains(image.descriptor.digest.text())) return false;
      return old_enough(image.descriptor.digest);
    };
    store_.remove_images([&](const NamedImage& image) {
      if (!unwanted(image)) return false;
      result.images.push_back(image.name.empty() ? image.descriptor.digest.text() : image.name);
      add_reachable(store_, image.descriptor, freed_);
      return true;
    });
    for (const NamedImage& image : store_.images())
      add_reachable(store_, image.descriptor, wanted_);
  }

  void choose_records() {
    auto records = cache_.all();
    std::ranges::sort(records, {}, &BuildCache::Stored::used);
    uint64_t total = options_.keep_storage ? blobs_bytes() : 0;
    // How many records still want a blob, so that its size counts once it is the last.
    std::map<std::string, size_t> users;
    for (const auto& stored : records)
      if (stored.record)
        for (const CachedLayer& layer : stored.record->layers) ++users[layer.blob.digest.text()];
    for (const auto& stored : records) {
      bool drop = !stored.record;
      if (!drop && (!options_.unused_since || stored.used < *options_.unused_since)) {
        if (options_.all)
          drop = true;
        else if (options_.keep_storage)
          drop = total > *options_.keep_storage;
        else if (options_.unused_since)
          drop = true;
        else
          drop = !backs_an_image(*stored.record, stored.used);
      }
      if (!drop) {
        add_layers(*stored.record, wanted_);
        continue;
      }
      cache_.remove(stored.key);
      ++result.records;
      if (!stored.record) continue;
      add_layers(*stored.record, freed_);
      for (const CachedLayer& layer : stored.record->layers) {
        const std::string& digest = layer.blob.digest.text();
        if (--users[digest] == 0 && !wanted_.contains(digest) && !held_.contains(digest))
          total -= std::min<uint64_t>(total, store_.blob_size(layer.blob.digest).value_or(0));
      }
    }
  }

  void sweep_blobs() {
    make_dir_at(store_.records(), "trash");
    const int64_t now = time(nullptr);
    const Fd blobs = open_dir_at(store_.directory(), "blobs");
    for (const char* algorithm : {"sha256", "sha512"})
      for (const FoundFile& file : files_in(blobs.get(), algorithm)) {
        const std::string digest = std::string(algorithm) + ":" + file.name;
        if (wanted_.contains(digest) || held_.contains(digest)) continue;
        if (!freed_.contains(digest) && now - file.changed < foreign_grace) continue;
        throw_away(blobs.get(), std::string(algorithm) + "/" + file.name);
        ++result.blobs;
        result.bytes += file.bytes;
      }
  }

  void sweep_unfinished() {
    const Fd ingest = open_dir_at(store_.records(), "ingest");
    for (const FoundFile& file : files_in(store_.records(), "ingest")) {
      const Fd opened(openat(ingest.get(), file.name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      // Its writer holds the lock from creation on (under the lock that we hold now).
      if (!opened || flock(opened.get(), LOCK_EX | LOCK_NB) != 0) continue;
      unlinkat(ingest.get(), file.name.c_str(), 0);
      result.bytes += file.bytes;
    }
  }

  void sweep_indexes() {
    Things diff_ids;
    for (const NamedImage& image : store_.images())
      for (const oci::Descriptor& d : reachable(store_, image.descriptor))
        if (d.media_type == oci::media::config || d.media_type == oci::media::docker_config) try {
            for (const auto& id :
                 oci::read_image_config(store_.read_blob(d.digest), d.digest.text()).diff_ids)
              diff_ids.insert(std::string(id.hex()));
          } catch (const std::exception&) {  // fsck's business
          }
    for (const auto& stored : cache_.all())
      if (stored.record)
        for (const CachedLayer& layer : stored.record->layers)
          diff_ids.insert(std::string(layer.diff_id.hex()));
    const int64_t now = time(nullptr);
    for (const FoundFile& file : files_in(store_.records(), "layer-index")) {
      if (diff_ids.contains(file.name) || now - file.changed < foreign_grace) continue;
      unlinkat(store_.records(), ("layer-index/" + file.name).c_str(), 0);
      result.bytes += file.bytes;
    }
  }

  void sweep_snapshots(Snapshotter& snapshots) {
    Things wanted;
    const auto with_parents = [&](std::string key) {
      while (!key.empty() && wanted.insert(key).second) key = snapshots.parent(key).value_or("");
    };
    for (const std::string& thing : held_)
      if (thing.starts_with("snapshot:")) with_parents(thing.substr(9));
    if (!options_.all)
      for (const NamedImage& image : store_.images())
        for (const oci::Descriptor& d : reachable(store_, image.descriptor))
          if (d.media_type == oci::media::config || d.media_type == oci::media::docker_config) try {
              for (const std::string& id :
                   chain_ids(oci::read_image_config(store_.read_blob(d.digest), d.digest.text())
                                 .diff_ids))
                with_parents(id);
            } catch (const std::exception&) {
            }
    for (const std::string& key : snapshots.keys()) {
      if (wanted.contains(key)) continue;
      snapshots.remove(key);
      ++result.snapshots;
    }
  }

  // One file into trash: a rename, whatever its size.
  static void throw_away_into(int kiln, int from, const std::string& name) {
    const std::string target = "trash/" + random_name();
    if (renameat(from, name.c_str(), kiln, target.c_str()) != 0 && errno != ENOENT)
      throw SysError("move " + name + " to trash");
  }

 private:
  void throw_away(int from, const std::string& name) {
    throw_away_into(store_.records(), from, name);
  }

  bool old_enough(const oci::Digest& digest) const {
    if (!options_.unused_since) return true;
    struct stat status {};
    const Fd blobs = open_dir_at(store_.directory(), "blobs");
    const std::string name = std::string(digest.algorithm()) + "/" + std::string(digest.hex());
    if (fstatat(blobs.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return true;
    return std::max(status.st_atim.tv_sec, status.st_mtim.tv_sec) < *options_.unused_since;
  }

  // A record whose layers are all part of an image makes the next build of it quick and costs
  // nothing. One without layers costs nothing either, and goes after a week without use.
  bool backs_an_image(const CacheRecord& record, int64_t used) const {
    if (record.layers.empty()) return time(nullptr) - used < 7 * 86400;
    return std::ranges::all_of(record.layers, [&](const CachedLayer& layer) {
      return wanted_.contains(layer.blob.digest.text());
    });
  }

  uint64_t blobs_bytes() const {
    uint64_t sum = 0;
    const Fd blobs = open_dir_at(store_.directory(), "blobs");
    for (const char* algorithm : {"sha256", "sha512"})
      for (const FoundFile& file : files_in(blobs.get(), algorithm)) sum += file.bytes;
    return sum;
  }

  Store& store_;
  const PruneOptions& options_;
  BuildCache cache_;
  Things held_;
  Things wanted_;  // blobs that something reaches
  Things freed_;   // blobs that lost a user in this run: no grace
};

void empty_trash(Store& store, const std::vector<Snapshotter*>& snapshots) {
  remove_tree_at(store.records(), "trash");
  for (Snapshotter* kind : snapshots) kind->empty_trash();
}

}  // namespace

Pruned prune(Store& store, const PruneOptions& options) {
  Pruned result;
  {
    // Only decisions and renames happen under the lock: builders wait for it when they hold a blob.
    const CollectLock lock(store.records(), CollectLock::Mode::exclusive);
    Collection collection(store, options);
    collection.choose_images();
    collection.choose_records();
    collection.sweep_blobs();
    collection.sweep_unfinished();
    collection.sweep_indexes();
    for (Snapshotter* kind : options.snapshots) collection.sweep_snapshots(*kind);
    result = std::move(collection.result);
  }
  empty_trash(store, options.snapshots);
  return result;
}

uint64_t collect_blobs(Store& store, const std::vector<oci::Descriptor>& candidates) {
  uint64_t bytes = 0;
  {
    const CollectLock lock(store.records(), CollectLock::Mode::exclusive);
    Things wanted = held_things(store.records());
    for (const NamedImage& image : store.images()) add_reachable(store, image.descriptor, wanted);
    for (const auto& stored : BuildCache(store).all())
      if (stored.record) add_layers(*stored.record, wanted);
    make_dir_at(store.records(), "trash");
    const Fd blobs = open_dir_at(store.directory(), "blobs");
    for (const oci::Descriptor& d : candidates) {
      if (wanted.contains(d.digest.text())) continue;
      const auto size = store.blob_size(d.digest);
      if (!size) continue;
      bytes += *size;
      Collection::throw_away_into(
          store.records(), blobs.get(),
          std::string(d.digest.algorithm()) + "/" + std::string(d.digest.hex()));
    }
  }
  empty_trash(store, {});
  return bytes;
}

}  // namespace kiln
