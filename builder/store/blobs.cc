#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/store/store.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

// The disk starts on a large blob while the rest of it is still being made.
constexpr uint64_t write_behind = uint64_t{8} << 20;
// Descriptors kept open for sync().
constexpr size_t most_unsynced = 256;

std::string blob_name(const oci::Digest& digest) {
  return std::string(digest.algorithm()) + "/" + std::string(digest.hex());
}

}  // namespace

std::string Store::blob_path(const oci::Digest& digest) const {
  return path_ + "/blobs/" + blob_name(digest);
}

std::optional<uint64_t> Store::blob_size(const oci::Digest& digest) const {
  struct stat status {};
  if (digest.empty() ||
      fstatat(blobs_.get(), blob_name(digest).c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
      !S_ISREG(status.st_mode))
    return std::nullopt;
  return static_cast<uint64_t>(status.st_size);
}

bool Store::hold(const oci::Digest& digest) {
  const std::lock_guard lock(mutex_);
  Lease& mine = lease();  // takes the lock below itself, once
  const CollectLock guard(kiln_.get(), CollectLock::Mode::shared);
  if (!blob_size(digest)) return false;
  mine.hold(digest.text());
  // The time of last use, for prune. Without the right to set it the blob merely looks older.
  const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
  (void)utimensat(blobs_.get(), blob_name(digest).c_str(), times, AT_SYMLINK_NOFOLLOW);
  return true;
}

void Store::hold_snapshot(const std::string& key) {
  const std::lock_guard lock(mutex_);
  Lease& mine = lease();
  const CollectLock guard(kiln_.get(), CollectLock::Mode::shared);
  mine.hold("snapshot:" + key);
}

Fd Store::open_blob(const oci::Digest& digest) const {
  Fd file(openat(blobs_.get(), blob_name(digest).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) {
    if (errno == ENOENT) throw Error("blob " + digest.text() + " is not in store " + path_);
    throw SysError("open blob " + digest.text());
  }
  return file;
}

std::string Store::read_blob(const oci::Digest& digest, size_t limit) const {
  const Fd file = open_blob(digest);
  std::string content = read_fd(file.get(), limit, "blob " + digest.text());
  oci::Hasher hasher(digest.algorithm());
  hasher.update(content);
  if (hasher.finish() != digest)
    throw Error("blob " + digest.text() + " in store " + path_ +
                " is damaged: its content has another digest; 'kiln fsck --repair' removes it");
  return content;
}

BlobWriter Store::new_blob(std::string_view algorithm) {
  const std::lock_guard lock(mutex_);
  lease();  // before the first byte: what is written is held when it appears
  // Locked before collection can look at it, so that nobody takes it for a dead writer's.
  const CollectLock guard(kiln_.get(), CollectLock::Mode::shared);
  std::string name = random_name();
  Fd file(openat(ingest_.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) throw SysError("create a blob in " + path_);
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) throw SysError("lock a new blob");
  return {*this, std::move(file), std::move(name), algorithm};
}

oci::Descriptor Store::put_blob(std::string_view content, std::string_view media_type, Sync sync) {
  oci::Descriptor descriptor;
  descriptor.media_type = media_type;
  descriptor.digest = oci::Digest::sha256(content);
  descriptor.size = static_cast<int64_t>(content.size());
  if (blob_size(descriptor.digest) == content.size() && hold(descriptor.digest)) return descriptor;
  BlobWriter writer = new_blob();
  writer.write(std::as_bytes(std::span(content.data(), content.size())));
  writer.finish(descriptor.digest, content.size(), sync);
  return descriptor;
}

void Store::sync_later(Fd file) {
  (void)sync_file_range(file.get(), 0, 0, SYNC_FILE_RANGE_WRITE);  // a hint
  std::vector<Fd> enough;
  {
    const std::lock_guard lock(mutex_);
    unsynced_.push_back(std::move(file));
    if (unsynced_.size() >= most_unsynced) enough.swap(unsynced_);
  }
  for (const Fd& fd : enough)
    if (fdatasync(fd.get()) != 0) throw SysError("sync a blob");
}

void Store::sync() {
  std::vector<Fd> files;
  {
    const std::lock_guard lock(mutex_);
    files.swap(unsynced_);
  }
  // The first one commits the journal for all of them.
  for (const Fd& fd : files)
    if (fdatasync(fd.get()) != 0) throw SysError("sync a blob");
  const Fd directory(
      openat(blobs_.get(), "sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory || fsync(directory.get()) != 0 || fsync(root_.get()) != 0)
    throw SysError("sync store " + path_);
}

BlobWriter::BlobWriter(Store& store, Fd file, std::string name, std::string_view algorithm)
    : store_(&store),
      file_(std::move(file)),
      name_(std::move(name)),
      algorithm_(algorithm),
      hasher_(algorithm) {}

BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;

BlobWriter::~BlobWriter() {
  if (file_) unlinkat(store_->ingest_.get(), name_.c_str(), 0);
}

void BlobWriter::write(std::span<const std::byte> data) {
  write_all(file_.get(), data);
  // The disk begins while the rest is still being made: otherwise finish() waits for all of it.
  constexpr uint64_t stretch = uint64_t{8} << 20;
  const uint64_t begun = size_ / stretch * stretch, now = (size_ + data.size()) / stretch * stretch;
  if (now > begun)
    (void)sync_file_range(file_.get(), static_cast<off64_t>(begun),
                          static_cast<off64_t>(now - begun), SYNC_FILE_RANGE_WRITE);
  hasher_.update(data);
  size_ += data.size();
  if (size_ - started_ < write_behind) return;
  (void)sync_file_range(file_.get(), static_cast<off_t>(started_),
                        static_cast<off_t>(size_ - started_), SYNC_FILE_RANGE_WRITE);
  started_ = size_;
}

BlobWriter::Written BlobWriter::finish(const std::optional<oci::Digest>& digest,
                                       const std::optional<uint64_t>& size, Sync sync) {
  Written result{hasher_.finish(), size_};
  if (size && *size != size_)
    throw Error("content has " + std::to_string(size_) + " bytes, expected " +
                std::to_string(*size));
  if (digest && *digest != result.digest)
    throw Error("content has digest " + result.digest.text() + ", expected " + digest->text());
  if (fchmod(file_.get(), 0444) != 0) throw SysError("chmod a blob");
  if (sync == Sync::data && fdatasync(file_.get()) != 0) throw SysError("sync a blob");

  {
    const std::lock_guard lock(store_->mutex_);
    Lease& lease = store_->lease();
    const CollectLock guard(store_->kiln_.get(), CollectLock::Mode::shared);
    lease.hold(result.digest.text());
    if (algorithm_ != "sha256") make_dir_at(store_->blobs_.get(), algorithm_);
    // An equal blob that is there is replaced by an equal one: atomic, and mends a damaged one.
    const std::string target = blob_name(result.digest);
    if (renameat(store_->ingest_.get(), name_.c_str(), store_->blobs_.get(), target.c_str()) != 0)
      throw SysError("rename a blob to " + target);
  }
  if (sync == Sync::no) store_->sync_later(std::move(file_));
  file_.reset();
  return result;
}

}  // namespace kiln
