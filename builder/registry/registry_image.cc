#include "builder/registry/registry_image.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "builder/registry/download.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

RegistryAccess::RegistryAccess(Registries registries, std::string credentials_file,
                               std::function<bool()> canceled)
    : registries_(std::move(registries)),
      credentials_file_(std::move(credentials_file)),
      http_(registries_.limits, std::move(canceled)) {}

std::unique_ptr<RepositoryClient> RegistryAccess::client(const Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  for (const auto& [known, session] : sessions_)
    if (known == endpoint) return std::make_unique<RepositoryClient>(*session, endpoint.path);
  sessions_.emplace_back(endpoint, std::make_unique<Session>(http_, endpoint, credentials_file_));
  return std::make_unique<RepositoryClient>(*sessions_.back().second, endpoint.path);
}

RegistrySource::RegistrySource(RegistryAccess& access, const Reference& name) : name_(name) {
  for (const Endpoint& endpoint : access.registries().sources(name))
    places_.push_back({access.client(endpoint), std::make_unique<std::atomic<bool>>(true)});
}

// The first answer that is one (not false); a mirror that fails is not asked again.
template <class F>
auto RegistrySource::first_of(F&& ask) -> decltype(ask(std::declval<RepositoryClient&>())) {
  for (const Place& place : places_) {
    const bool last = &place == &places_.back();
    if (!last && !*place.usable) continue;
    try {
      auto found = ask(*place.client);
      if (found || last) return found;
    } catch (const HttpFailure& failure) {
      if (last || failure.kind() == HttpFailure::Kind::canceled) throw;
      *place.usable = false;
    } catch (const Error&) {
      if (last) throw;
      *place.usable = false;
    }
  }
  return {};
}

std::optional<Document> RegistrySource::top() {
  const std::string reference = name_.digest.empty() ? name_.tag : name_.digest.text();
  return first_of([&](RepositoryClient& c) { return c.get_manifest(reference); });
}

std::optional<oci::Digest> RegistrySource::digest_of_tag() {
  return first_of([&](RepositoryClient& c) { return c.manifest_digest(name_.tag); });
}

std::vector<std::string> RegistrySource::tags() {
  return first_of([](RepositoryClient& c) { return std::optional(c.tags()); }).value();
}

std::optional<Document> RegistrySource::document(const oci::Descriptor& descriptor) {
  return first_of([&](RepositoryClient& c) {
    return c.get_manifest(descriptor.digest.text(), descriptor.media_type);
  });
}

void RegistrySource::stream(const oci::Descriptor& blob, ByteSink& sink) {
  if (blob.data && static_cast<int64_t>(blob.data->size()) == blob.size) {
    sink.write(std::as_bytes(std::span(blob.data->data(), blob.data->size())));
    return;
  }
  BlobReceipt receipt;
  receipt.take = [&](std::span<const std::byte> data) { sink.write(data); };
  try {
    first_of([&](RepositoryClient& c) {
      c.get_blob(blob, receipt);
      return true;
    });
  } catch (const Error&) {
    if (blob.urls.empty() || receipt.received > 0) throw;
    // descriptor.md, "urls": other places, to which no credentials go (CVE-2020-15157).
    const Fd file = unnamed_file();
    DownloadOptions options;
    options.limit = static_cast<uint64_t>(blob.size);
    download(blob.urls.front(), file.get(), options);
    if (lseek(file.get(), 0, SEEK_SET) != 0) throw SysError("seek");
    FdSource source(file.get());
    std::vector<std::byte> buffer(size_t{1} << 18);
    while (const size_t n = source.read(buffer))
      sink.write(std::span<const std::byte>(buffer).first(n));
  }
}

Fd RegistrySource::open(const oci::Descriptor& blob) {
  Fd file = unnamed_file();
  class Sink final : public ByteSink {
   public:
    Sink(int fd, std::string_view algorithm) : fd_(fd), hasher_(algorithm) {}
    void write(std::span<const std::byte> data) override {
      write_all(fd_, data);
      hasher_.update(data);
    }
    oci::Digest digest() { return hasher_.finish(); }

   private:
    int fd_;
    oci::Hasher hasher_;
  } sink(file.get(), blob.digest.algorithm());
  stream(blob, sink);
  if (const oci::Digest got = sink.digest(); got != blob.digest)
    throw Error("blob " + blob.digest.text() + " of " + name_.name() +
                " has another digest: " + got.text());
  return file;
}

RegistryTarget::RegistryTarget(RegistryAccess& access, const Reference& name, UploadOptions options)
    : client_(access.client(access.registries().destination(name))), options_(std::move(options)) {}

void RegistryTarget::add_sibling(const oci::Digest& blob, const std::string& repository) {
  auto& known = siblings_[blob];
  if (repository != client_->path() && known.size() < 3 &&
      std::ranges::find(known, repository) == known.end())
    known.push_back(repository);
}

void RegistryTarget::name_document(const std::string& tag, const Document& document) {
  client_->put_manifest(tag, document);
}

bool RegistryTarget::has_document(const oci::Descriptor& descriptor) {
  return client_->has_manifest(descriptor.digest);
}

void RegistryTarget::put_document(const Document& document) {
  if (has_document(document.descriptor)) return;
  const bool subject_noted = client_->put_manifest(document.descriptor.digest.text(), document);
  if (subject_noted) return;
  // distribution-spec, "Pushing Manifests with Subject": without the API a tag has the list.
  const std::string file = document.descriptor.digest.text();
  oci::Descriptor referrer = document.descriptor;
  std::optional<oci::Descriptor> subject;
  if (is_index_type(document.descriptor.media_type)) {
    const oci::Index index = oci::read_index(document.content, file);
    subject = index.subject;
    referrer.artifact_type = index.artifact_type;
    referrer.annotations = index.annotations;
  } else {
    const oci::Manifest manifest = oci::read_manifest(document.content, file);
    subject = manifest.subject;
    referrer.artifact_type =
        manifest.artifact_type.empty() ? manifest.config.media_type : manifest.artifact_type;
    referrer.annotations = manifest.annotations;
  }
  if (subject) client_->add_referrer(subject->digest, referrer);
}

bool RegistryTarget::put_blob(const oci::Descriptor& blob, ImageSource& source,
                              const ByteCount& moved) {
  Fd file;
  const auto open = [&] {
    file = source.open(blob);
    struct stat status {};
    if (fstat(file.get(), &status) != 0) throw SysError("stat a blob");
    if (status.st_size != blob.size)
      throw Error("blob " + blob.digest.text() + " has " + std::to_string(status.st_size) +
                  " bytes, its manifest says " + std::to_string(blob.size));
    HttpUpload upload;
    upload.size = static_cast<uint64_t>(blob.size);
    upload.read = [fd = file.get()](uint64_t offset, std::span<std::byte> into) {
      const ssize_t n = pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
      if (n < 0) throw SysError("read a blob");
      return static_cast<size_t>(n);
    };
    return upload;
  };
  UploadOptions options = options_;
  if (const auto own = siblings_.find(blob.digest); own != siblings_.end())
    options.siblings.insert(options.siblings.begin(), own->second.begin(), own->second.end());
  return push_blob(*client_, blob, open, options, moved) == Delivery::sent;
}

Fd unnamed_file() {
  const char* directory = getenv("TMPDIR");
  if (directory == nullptr || *directory != '/') directory = "/var/tmp";
  Fd file(::open(directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  if (!file && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
    std::string name = std::string(directory) + "/kiln.XXXXXX";
    file = Fd(mkostemp(name.data(), O_CLOEXEC));
    if (file) unlink(name.c_str());
  }
  if (!file) throw SysError("create a temporary file in " + std::string(directory));
  return file;
}

}  // namespace kiln
