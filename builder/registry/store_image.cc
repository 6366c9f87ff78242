#include "builder/registry/store_image.hh"

#include <algorithm>

#include "builder/registry/gathering_sink.hh"
#include "builder/sys/edit_distance.hh"
#include "builder/sys/error.hh"

namespace kiln {

std::optional<Document> StoreSource::document(const oci::Descriptor& descriptor) {
  if (!store_.hold(descriptor.digest)) return std::nullopt;
  Document document{descriptor, store_.read_blob(descriptor.digest)};
  document.descriptor.size = static_cast<int64_t>(document.content.size());
  return document;
}

void StoreSource::stream(const oci::Descriptor& blob, ByteSink& sink) {
  const Fd file = open(blob);
  FdSource source(file.get());
  std::vector<std::byte> buffer(size_t{1} << 18);
  while (const size_t n = source.read(buffer))
    sink.write(std::span<const std::byte>(buffer).first(n));
}

Fd StoreSource::open(const oci::Descriptor& blob) {
  store_.hold(blob.digest);
  return store_.open_blob(blob.digest);
}

bool StoreTarget::has_document(const oci::Descriptor& descriptor) {
  return store_.hold(descriptor.digest);
}

void StoreTarget::put_document(const Document& document) {
  const auto& d = document.descriptor;
  if (store_.blob_size(d.digest) == document.content.size() && store_.hold(d.digest)) return;
  BlobWriter writer = store_.new_blob(d.digest.algorithm());
  writer.write(std::as_bytes(std::span(document.content.data(), document.content.size())));
  writer.finish(d.digest, document.content.size());
}

bool StoreTarget::put_blob(const oci::Descriptor& blob, ImageSource& source,
                           const ByteCount& moved) {
  if (store_.blob_size(blob.digest) == static_cast<uint64_t>(blob.size) && store_.hold(blob.digest))
    return false;
  BlobWriter writer = store_.new_blob(blob.digest.algorithm());
  GatheringSink sink(writer, moved);
  source.stream(blob, sink);
  sink.finish();
  try {
    writer.finish(blob.digest, static_cast<uint64_t>(blob.size));
  } catch (Error& error) {
    error.prepend("blob " + blob.digest.text());
    throw;
  }
  return true;
}

namespace {

[[noreturn]] void no_such_image(RegistrySource& source, const Reference& name) {
  std::string near;
  try {
    std::vector<std::pair<size_t, std::string>> tags;
    for (std::string& tag : source.tags())
      tags.emplace_back(edit_distance(tag, name.tag), std::move(tag));
    std::ranges::sort(tags);
    for (size_t i = 0; i < tags.size() && i < 3; ++i) near += (i ? ", " : "") + tags[i].second;
  } catch (const Error&) {
    // The repository may not exist either, or not list its tags.
  }
  if (!name.digest.empty()) near.clear();
  throw Error("no such image " + name.familiar() + " at " + source.origin().session().host() +
              (near.empty() ? "" : "; near tags: " + near));
}

// Whether all of it that `options` asks for is here, so that nothing need be fetched.
bool complete(Store& store, const oci::Descriptor& top, const PullOptions& options) {
  try {
    if (options.all_platforms)
      return std::ranges::all_of(reachable(store, top), [&](const oci::Descriptor& d) {
        return store.blob_size(d.digest) == static_cast<uint64_t>(d.size) && store.hold(d.digest);
      });
    load_image(store, top, "", options.platform);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

Pulled pull_image(Store& store, RegistryAccess& access, const Reference& name,
                  const PullOptions& options, Progress& progress, StepId step) {
  RegistrySource source(access, name);
  const std::string text = name.text();
  if (name.digest.empty()) {
    // Asking what the tag means costs less than fetching it, and counts less at registries that
    // limit pulls.
    if (const auto known = store.find_name(text); known && complete(store, *known, options)) {
      const auto now = source.digest_of_tag();
      if (now && *now == known->digest) return {*known, true};
    }
  }
  auto top = source.top();
  if (!top) no_such_image(source, name);
  TransferOptions how;
  how.parallel = access.registries().parallel;
  if (!options.all_platforms) how.platform = options.platform.value_or(host_platform());
  StoreTarget target(store);
  const bool was_there = complete(store, top->descriptor, options);
  if (!was_there) transfer(source, target, *top, how, progress, step, name.familiar());
  // Its documents are sound and agree, before it gets a name.
  if (!options.all_platforms) load_image(store, top->descriptor, name.familiar(), options.platform);
  Reference own = name;
  if (!own.digest.empty()) own.tag.clear();  // a tag beside a digest names nothing by itself
  store.set_name(own.text(), top->descriptor);
  store.sync();
  return {top->descriptor, was_there};
}

namespace {

// Where else in the same registry the blobs may be: other names in the store are where they came
// from or went to.
void add_siblings(Store& store, RegistryTarget& target, const oci::Descriptor& image,
                  const Reference& destination) {
  std::vector<oci::Digest> wanted;
  for (const oci::Descriptor& d : reachable(store, image)) wanted.push_back(d.digest);
  std::ranges::sort(wanted);
  for (const NamedImage& other : store.images()) {
    const auto name = parse_reference(other.name);
    if (!name || other.name.empty() || name->domain != destination.domain ||
        name->path == destination.path)
      continue;
    for (const oci::Descriptor& d : reachable(store, other.descriptor))
      if (std::ranges::binary_search(wanted, d.digest)) target.add_sibling(d.digest, name->path);
  }
}

}  // namespace

oci::Descriptor push_image(Store& store, RegistryAccess& access, const oci::Descriptor& image,
                           const Reference& destination, const PushOptions& options,
                           Progress& progress, StepId step) {
  StoreSource source(store);
  oci::Descriptor chosen = image;
  if (options.platform) chosen = load_image(store, image, "", options.platform).manifest_blob;
  const auto top = source.document(chosen);
  if (!top) throw Error("manifest " + chosen.digest.text() + " is not in store " + store.path());
  UploadOptions upload;
  upload.records = store.sub_directory("uploads");
  RegistryTarget target(access, destination, upload);
  add_siblings(store, target, chosen, destination);
  TransferOptions how;
  how.parallel = access.registries().parallel;
  how.may_lack_platforms = true;
  transfer(source, target, *top, how, progress, step, destination.familiar());
  if (!destination.tag.empty()) target.name_document(destination.tag, *top);
  return top->descriptor;
}

}  // namespace kiln
