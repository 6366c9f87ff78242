#include "builder/store/import.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "builder/layer/apply.hh"
#include "builder/layer/decompress.hh"
#include "builder/layer/layer_writer.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

// Hands on what it reads, and copies it to the hasher and the compressor on the way.
class Tee final : public ByteSource {
 public:
  Tee(ByteSource& source, ByteSink& copy) : source_(source), copy_(copy) {}
  size_t read(std::span<std::byte> data) override {
    const size_t n = source_.read(data);
    const auto got = std::span<const std::byte>(data.data(), n);
    hasher_.update(got);
    if (n > 0) copy_.write(got);
    size_ += n;
    return n;
  }
  oci::Digest digest() { return hasher_.finish(); }
  uint64_t size() const { return size_; }

 private:
  ByteSource& source_;
  ByteSink& copy_;
  oci::Hasher hasher_;
  uint64_t size_ = 0;
};

CachedLayer layer_of(const BlobWriter::Written& blob, oci::Digest diff_id,
                     Compression compression) {
  CachedLayer layer;
  layer.blob.media_type = layer_media_type(compression);
  layer.blob.digest = blob.digest;
  layer.blob.size = static_cast<int64_t>(blob.size);
  layer.diff_id = std::move(diff_id);
  return layer;
}

struct Found {
  std::string path;  // relative
  Entry entry;
};

class Walk {
 public:
  explicit Walk(const std::string& directory)
      : root_(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (!root_) throw SysError("open " + directory);
    into(root_.get(), "");
    std::ranges::sort(found, {}, &Found::path);
    link_names();
  }

  std::vector<Found> found;

  // Opened by the names of its parents, none of which may have become a link meanwhile.
  Fd open_file(const std::string& path) const {
    Fd directory(fcntl(root_.get(), F_DUPFD_CLOEXEC, 3));
    std::string_view rest = path;
    for (size_t slash; (slash = rest.find('/')) != rest.npos; rest.remove_prefix(slash + 1))
      directory = open_dir_at(directory.get(), std::string(rest.substr(0, slash)));
    Fd file(openat(directory.get(), std::string(rest).c_str(),
                   O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!file) throw SysError("open " + path);
    return file;
  }

 private:
  void into(int directory, const std::string& prefix) {
    Fd listing(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DIR* stream = listing ? fdopendir(listing.get()) : nullptr;
    if (stream == nullptr) throw SysError("read directory " + prefix);
    listing.release();
    const std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, closedir);
    while (const dirent* item = readdir(stream)) {
      const std::string name = item->d_name;
      if (name == "." || name == "..") continue;
      Found f;
      f.path = prefix + name;
      struct stat status {};
      if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
        throw SysError("stat " + f.path);
      if (name.starts_with(whiteout_prefix))
        throw Error(f.path + ": a name that starts with .wh. would read as a deletion");
      if (!entry_from_stat(status, f.entry)) continue;  // a socket
      f.entry.path = f.path;
      if (f.entry.type == FileType::symlink) {
        std::string target(static_cast<size_t>(status.st_size) + 1, '\0');
        const ssize_t n = readlinkat(directory, name.c_str(), target.data(), target.size());
        if (n < 0) throw SysError("read link " + f.path);
        target.resize(static_cast<size_t>(n));
        f.entry.link = std::move(target);
      }
      if (f.entry.type == FileType::directory || f.entry.type == FileType::file)
        attributes(directory, name, f);
      if (f.entry.type != FileType::directory && status.st_nlink > 1)
        inodes_[{status.st_dev, status.st_ino}].push_back(f.path);
      const bool descend = f.entry.type == FileType::directory;
      const std::string path = f.path;
      found.push_back(std::move(f));
      if (descend) into(open_dir_at(directory, name).get(), path + "/");
    }
  }

  static void attributes(int directory, const std::string& name, Found& f) {
    const Fd file(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!file) throw SysError("open " + f.path);
    std::string names(65536, '\0');
    const ssize_t length = flistxattr(file.get(), names.data(), names.size());
    if (length <= 0) return;
    names.resize(static_cast<size_t>(length));
    for (std::string_view rest = names; !rest.empty();) {
      const std::string key(rest.substr(0, rest.find('\0')));
      rest.remove_prefix(std::min(key.size() + 1, rest.size()));
      if (!layer_keeps_xattr(key)) continue;
      std::string value(65536, '\0');
      const ssize_t n = fgetxattr(file.get(), key.c_str(), value.data(), value.size());
      if (n < 0) throw SysError("read " + key + " of " + f.path);
      value.resize(static_cast<size_t>(n));
      f.entry.xattrs[key] = std::move(value);
    }
  }

  // The first path of a hard-link set in byte order carries the data.
  void link_names() {
    std::map<std::string, std::string> first;
    for (auto& [inode, paths] : inodes_) {
      std::ranges::sort(paths);
      for (size_t i = 1; i < paths.size(); ++i) first[paths[i]] = paths[0];
    }
    for (Found& f : found)
      if (const auto it = first.find(f.path); it != first.end()) {
        f.entry.type = FileType::hardlink;
        f.entry.link = it->second;
        f.entry.size = 0;
      }
  }

  Fd root_;
  std::map<std::pair<uint64_t, uint64_t>, std::vector<std::string>> inodes_;
};

}  // namespace

CachedLayer import_tar(Store& store, ByteSource& tar, Compression compression) {
  WorkerPool pool;
  BlobWriter blob = store.new_blob();
  const auto plain = decompress(tar);
  Compressor compressor(compression, blob, pool);
  Tee tee(*plain, compressor);
  const LayerIndex index = LayerIndex::from_tar(tee);
  // An empty input is no archive; a tar has at least its two blocks of zeros.
  if (tee.size() < 1024)
    throw Error("this is no tar: it has " + std::to_string(tee.size()) + " bytes");
  compressor.finish();
  const CachedLayer layer = layer_of(blob.finish(), tee.digest(), compression);
  store.put_layer_index(layer.diff_id, index);
  return layer;
}

CachedLayer import_directory(Store& store, const std::string& directory, Compression compression) {
  const Walk walk(directory);
  WorkerPool pool;
  BlobWriter blob = store.new_blob();
  LayerWriter writer(blob, compression, pool);
  for (const Found& f : walk.found) {
    if (f.entry.type == FileType::file && f.entry.size > 0)
      writer.add(f.entry, walk.open_file(f.path).get());
    else
      writer.add(f.entry);
  }
  LayerBlob made = writer.finish();
  CachedLayer layer;
  layer.blob.media_type = made.media_type;
  layer.blob.digest = blob.finish(made.digest, made.size).digest;
  layer.blob.size = static_cast<int64_t>(made.size);
  layer.diff_id = made.diff_id;
  made.index.sort();
  store.put_layer_index(layer.diff_id, made.index);
  return layer;
}

}  // namespace kiln
