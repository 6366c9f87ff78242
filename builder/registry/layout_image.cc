#include "builder/registry/layout_image.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "builder/registry/gathering_sink.hh"
#include "builder/store/store.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

constexpr const char* layout_file = "oci-layout";
constexpr const char* layout_text = R"({"imageLayoutVersion":"1.0.0"})";

std::string blob_name(const oci::Digest& digest) {
  return std::string(digest.algorithm()) + "/" + std::string(digest.hex());
}

// The tag that an entry goes by: bare as other tools write it, or the end of a complete name.
std::string tag_of(const oci::Descriptor& entry) {
  const std::string name = image_name(entry);
  if (name.find('/') == name.npos) return name;
  const auto parsed = parse_reference(name);
  return parsed ? parsed->tag : name;
}

class CheckedSink final : public ByteSink {
 public:
  CheckedSink(int fd, const oci::Descriptor& blob)
      : fd_(fd), blob_(blob), hasher_(blob.digest.algorithm()) {}
  void write(std::span<const std::byte> data) override {
    write_all(fd_, data);
    hasher_.update(data);
    size_ += data.size();
  }
  void finish() {
    const oci::Digest got = hasher_.finish();
    if (size_ != static_cast<uint64_t>(blob_.size) || got != blob_.digest)
      throw Error("blob " + blob_.digest.text() + " has " + std::to_string(size_) +
                  " bytes of digest " + got.text() + ", expected " + std::to_string(blob_.size));
  }

 private:
  int fd_;
  const oci::Descriptor& blob_;
  oci::Hasher hasher_;
  uint64_t size_ = 0;
};

}  // namespace

LayoutSource::LayoutSource(const std::string& directory)
    : directory_(directory), root_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!root_) throw SysError("open OCI layout " + directory);
  blobs_ = open_dir_at(root_.get(), "blobs");
}

Document LayoutSource::top(const std::string& tag) {
  const auto text = read_file_in_root(root_.get(), "index.json", document_limit);
  if (!text) throw Error("OCI layout " + directory_ + " has no index.json");
  const oci::Index index = oci::read_index(*text, directory_ + "/index.json");
  std::vector<oci::Descriptor> found;
  std::string names;
  for (const oci::Descriptor& entry : index.manifests) {
    const std::string own = tag_of(entry);
    if (!own.empty()) names += (names.empty() ? "" : ", ") + terminal_text(own, 128);
    if (tag.empty() || own == tag || image_name(entry) == tag) found.push_back(entry);
  }
  if (found.size() != 1)
    throw Error("OCI layout " + directory_ +
                (tag.empty() ? " has " + std::to_string(found.size()) + " images"
                             : (found.empty() ? " has no image " : " has several images ") + tag) +
                (names.empty() ? "" : "; it has " + names));
  auto document = this->document(found.front());
  if (!document) throw Error("OCI layout " + directory_ + " lacks " + found.front().digest.text());
  document->descriptor.annotations.clear();
  return std::move(*document);
}

std::optional<Document> LayoutSource::document(const oci::Descriptor& descriptor) {
  // Somebody else's directory: a fifo there must not stop us.
  auto text = read_file_in_root(blobs_.get(), blob_name(descriptor.digest), document_limit);
  if (!text) return std::nullopt;
  oci::Hasher hasher(descriptor.digest.algorithm());
  hasher.update(*text);
  if (hasher.finish() != descriptor.digest)
    throw Error("blob " + descriptor.digest.text() + " of " + directory_ + " is damaged");
  Document document{descriptor, std::move(*text)};
  document.descriptor.size = static_cast<int64_t>(document.content.size());
  return document;
}

void LayoutSource::stream(const oci::Descriptor& blob, ByteSink& sink) {
  const Fd file = open(blob);
  FdSource source(file.get());
  std::vector<std::byte> buffer(size_t{1} << 18);
  while (const size_t n = source.read(buffer))
    sink.write(std::span<const std::byte>(buffer).first(n));
}

Fd LayoutSource::open(const oci::Descriptor& blob) {
  Fd file(openat(blobs_.get(), blob_name(blob.digest).c_str(),
                 O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!file || fstat(file.get(), &status) != 0)
    throw SysError("open blob " + blob.digest.text() + " of " + directory_);
  if (!S_ISREG(status.st_mode))
    throw Error("blob " + blob.digest.text() + " of " + directory_ + " is not a regular file");
  return file;
}

LayoutTarget::LayoutTarget(const std::string& directory) : directory_(directory) {
  make_dir_at(AT_FDCWD, directory);
  root_ = Fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_) throw SysError("open " + directory);
  if (!try_read_file_at(root_.get(), layout_file, 4096)) {
    // Somebody's directory must not become a layout by a slip of the tongue.
    const Fd listing(openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(dup(listing.get())), closedir);
    while (const dirent* item = entries ? readdir(entries.get()) : nullptr)
      if (const std::string_view name = item->d_name; name != "." && name != "..")
        throw Error(directory + " is no OCI layout and not empty");
    write_file_atomic(root_.get(), layout_file, layout_text);
  }
  make_dir_at(root_.get(), "blobs");
  blobs_ = open_dir_at(root_.get(), "blobs");
  make_dir_at(blobs_.get(), "sha256");
}

void LayoutTarget::name_document(const std::string& tag, const Document& document) {
  while (flock(root_.get(), LOCK_EX) != 0)
    if (errno != EINTR) throw SysError("lock " + directory_);
  oci::Index index;
  if (const auto text = try_read_file_at(root_.get(), "index.json", document_limit))
    index = oci::read_index(*text, directory_ + "/index.json");
  std::erase_if(index.manifests, [&](const oci::Descriptor& entry) {
    const std::string own = tag_of(entry);
    return own == tag && (!tag.empty() || entry.digest == document.descriptor.digest);
  });
  oci::Descriptor entry = document.descriptor;
  if (!tag.empty()) entry.annotations[ref_name_annotation] = tag;
  index.manifests.push_back(std::move(entry));
  write_file_atomic(root_.get(), "index.json", oci::write(index), 0644, Sync::data);
  flock(root_.get(), LOCK_UN);
}

bool LayoutTarget::has(const oci::Digest& digest, int64_t size) const {
  struct stat status {};
  return fstatat(blobs_.get(), blob_name(digest).c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(status.st_mode) && status.st_size == size;
}

void LayoutTarget::write(const oci::Descriptor& blob, const std::function<void(ByteSink&)>& fill) {
  make_dir_at(blobs_.get(), std::string(blob.digest.algorithm()));
  const std::string temporary = ".kiln-" + random_name();
  const Fd file(
      openat(blobs_.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) throw SysError("create a blob in " + directory_);
  try {
    CheckedSink sink(file.get(), blob);
    fill(sink);
    sink.finish();
    if (renameat(blobs_.get(), temporary.c_str(), blobs_.get(), blob_name(blob.digest).c_str()) !=
        0)
      throw SysError("rename a blob in " + directory_);
  } catch (...) {
    unlinkat(blobs_.get(), temporary.c_str(), 0);
    throw;
  }
}

bool LayoutTarget::has_document(const oci::Descriptor& descriptor) {
  return has(descriptor.digest, descriptor.size);
}

void LayoutTarget::put_document(const Document& document) {
  if (has_document(document.descriptor)) return;
  write(document.descriptor, [&](ByteSink& sink) {
    sink.write(std::as_bytes(std::span(document.content.data(), document.content.size())));
  });
}

bool LayoutTarget::put_blob(const oci::Descriptor& blob, ImageSource& source,
                            const ByteCount& moved) {
  if (has(blob.digest, blob.size)) return false;
  write(blob, [&](ByteSink& sink) {
    GatheringSink gathering(sink, moved);
    source.stream(blob, gathering);
    gathering.finish();
  });
  return true;
}

}  // namespace kiln
