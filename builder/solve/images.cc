#include "builder/solve/images.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <set>

#include "builder/store/near_names.hh"
#include "builder/sys/edit_distance.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln::solve {

namespace {

constexpr std::string_view image_scheme = "docker-image://";
constexpr std::string_view layout_scheme = "oci-layout://";

std::string near_stage_or_names(const Store& store, const Reference& wanted,
                                const std::vector<std::string>& stages) {
  // A stage first: whoever writes one is rarely after an image of nearly its name.
  const std::string name = wanted.familiar().substr(0, wanted.familiar().rfind(':'));
  for (const std::string& stage : stages)
    if (edit_distance(stage, name) <= std::max<size_t>(1, stage.size() / 3))
      return "; did you mean the stage " + stage + "?";
  return near_names(store, wanted);
}

void copy_blob(Store& store, int blobs, const oci::Descriptor& blob) {
  if (store.hold(blob.digest)) return;
  const std::string name =
      std::string(blob.digest.algorithm()) + "/" + std::string(blob.digest.hex());
  // Somebody else's directory: a fifo there must not stop us.
  const Fd file(openat(blobs, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!file || fstat(file.get(), &status) != 0) throw SysError("open blob " + blob.digest.text());
  if (!S_ISREG(status.st_mode))
    throw Error("blob " + blob.digest.text() + " is not a regular file");
  FdSource source(file.get());
  BlobWriter writer = store.new_blob(blob.digest.algorithm());
  std::vector<std::byte> buffer(size_t{1} << 20);
  while (const size_t n = source.read(buffer))
    writer.write(std::span<const std::byte>(buffer.data(), n));
  writer.finish(blob.digest, static_cast<uint64_t>(blob.size));
}

// Everything below `top`, children first, so that a manifest is never there without its blobs. Each
// once: indexes that name an index many times would multiply with their depth.
void copy_reachable(Store& store, int blobs, const oci::Descriptor& top, int depth,
                    std::set<oci::Digest>& seen) {
  if (depth > 4) throw Error("image indexes are nested too deeply");
  if (!seen.insert(top.digest).second) return;
  const bool index =
      top.media_type == oci::media::index || top.media_type == oci::media::docker_manifest_list;
  const bool manifest =
      top.media_type == oci::media::manifest || top.media_type == oci::media::docker_manifest;
  if (index || manifest) {
    const std::string name =
        std::string(top.digest.algorithm()) + "/" + std::string(top.digest.hex());
    const auto text = read_file_in_root(blobs, name, document_limit);
    if (!text) throw Error("blob " + top.digest.text() + " is not there");
    if (index) {
      for (const auto& m : oci::read_index(*text, top.digest.text()).manifests)
        copy_reachable(store, blobs, m, depth + 1, seen);
    } else {
      const oci::Manifest m = oci::read_manifest(*text, top.digest.text());
      copy_blob(store, blobs, m.config);
      for (const auto& layer : m.layers) copy_blob(store, blobs, layer);
    }
  }
  copy_blob(store, blobs, top);
}

}  // namespace

oci::Descriptor import_layout(Store& store, const std::string& where) {
  std::string directory = where, tag, digest;
  if (const size_t at = directory.rfind('@'); at != std::string::npos) {
    digest = directory.substr(at + 1);
    directory.resize(at);
  } else if (const size_t colon = directory.rfind(':');
             colon != std::string::npos && directory.find('/', colon) == std::string::npos) {
    tag = directory.substr(colon + 1);
    directory.resize(colon);
  }
  const Fd root(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open OCI layout " + directory);
  const auto text = read_file_in_root(root.get(), "index.json", document_limit);
  if (!text) throw Error("OCI layout " + directory + " has no index.json");
  const oci::Index index = oci::read_index(*text, directory + "/index.json");
  std::vector<oci::Descriptor> found;
  for (const oci::Descriptor& d : index.manifests) {
    const auto name = d.annotations.find(ref_name_annotation);
    const std::string full = image_name(d);
    if (!digest.empty() ? d.digest.text() == digest
        : !tag.empty()
            ? (name != d.annotations.end() && name->second == tag) || full.ends_with(":" + tag)
            : true)
      found.push_back(d);
  }
  if (found.empty())
    throw Error("OCI layout " + directory + " has no image " + (tag.empty() ? digest : tag));
  if (found.size() > 1)
    throw Error("OCI layout " + directory + " has several images: name one as " + directory +
                ":TAG or @DIGEST");
  const Fd blobs = open_dir_at(root.get(), "blobs");
  std::set<oci::Digest> seen;
  copy_reachable(store, blobs.get(), found.front(), 0, seen);
  oci::Descriptor top = found.front();
  top.annotations.clear();
  return top;
}

bool Images::is_image_context(const std::string& name) const {
  const std::string& text = context_text(name);
  return text.starts_with(image_scheme) || text.starts_with(layout_scheme);
}

const std::string& Images::context_text(const std::string& name) const {
  return request_.build_contexts.at(name);
}

std::shared_ptr<const Image> Images::get(const stage::Origin& origin, StepId step) {
  const oci::Platform platform = origin.platform.value_or(request_.inputs.target_platform);
  const std::string key = std::to_string(static_cast<int>(origin.kind)) + origin.name + " " +
                          oci::platform_text(platform);
  const std::lock_guard lock(mutex_);
  auto& slot = known_[key];
  if (slot) return slot;
  if (origin.kind != stage::Origin::Kind::named_context)
    return slot = find(origin.name, platform, step);
  const std::string& text = context_text(origin.name);
  if (text.starts_with(image_scheme))
    return slot = find(text.substr(image_scheme.size()), platform, step);
  if (text.starts_with(layout_scheme)) {
    const oci::Descriptor top = import_layout(store_, text.substr(layout_scheme.size()));
    return slot = std::make_shared<const Image>(load_image(store_, top, "", platform));
  }
  throw Error("build context " + origin.name + " is no image: " + text);
}

std::shared_ptr<const Image> Images::find(const std::string& name, const oci::Platform& platform,
                                          StepId step) {
  const Reference reference = require_reference(name);
  const bool may_pull = request_.pull != PullPolicy::never && puller_;
  // What stands in the store under a digest is that digest: asking again could change nothing.
  if (!may_pull || request_.pull != PullPolicy::always || !reference.digest.empty()) {
    try {
      if (auto image = try_load_image(store_, reference.text(), platform))
        return std::make_shared<const Image>(std::move(*image));
    } catch (const Error&) {
      // There, but not for this platform, or not whole: a registry may have the rest.
      if (!may_pull) throw;
    }
  }
  if (may_pull) {
    try {
      puller_(reference, platform, step);
    } catch (const Error& error) {
      throw Error("no image " + reference.familiar() + " in the store" +
                  near_stage_or_names(store_, reference, stages_) + "; pull: " + error.message());
    }
    return std::make_shared<const Image>(load_image(store_, reference.text(), platform));
  }
  throw Error("no image " + reference.familiar() + " in the store" +
              near_stage_or_names(store_, reference, stages_) +
              (request_.pull == PullPolicy::never ? " (pulling is off: --pull=never)" : ""));
}

}  // namespace kiln::solve
