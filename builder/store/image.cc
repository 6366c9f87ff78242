#include "builder/store/image.hh"

#include <sys/utsname.h>

#include <algorithm>

#include "builder/store/near_names.hh"
#include "builder/sys/error.hh"

namespace kiln {

namespace {

bool is_index(const oci::Descriptor& d) {
  return d.media_type == oci::media::index || d.media_type == oci::media::docker_manifest_list;
}

bool is_manifest(const oci::Descriptor& d) {
  return d.media_type == oci::media::manifest || d.media_type == oci::media::docker_manifest;
}

// Leading hex digits of a digest, with or without "sha256:"; "" when `text` can be none.
std::string_view hex_prefix(std::string_view text) {
  if (text.starts_with("sha256:")) text.remove_prefix(7);
  if (text.size() < 4 || text.size() > 64) return {};
  const bool hex = std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  return hex ? text : std::string_view();
}

// Image id of a manifest in the store; empty when it cannot be read (then it is not found by it).
std::string id_of(const Store& store, const oci::Descriptor& manifest) {
  if (!is_manifest(manifest)) return {};
  try {
    return std::string(oci::read_manifest(store.read_blob(manifest.digest), manifest.digest.text())
                           .config.digest.hex());
  } catch (const std::exception&) {
    return {};
  }
}

int arm_level(const oci::Platform& p) {
  return p.variant.size() == 2 && p.variant[0] == 'v' ? p.variant[1] - '0' : 7;
}

void hold_or_throw(Store& store, const oci::Descriptor& d, std::string_view what) {
  if (!store.hold(d.digest))
    throw Error(std::string(what) + " " + d.digest.text() + " is not in store " + store.path());
}

}  // namespace

int64_t Image::size() const {
  int64_t sum = 0;
  for (const oci::Descriptor& layer : manifest.layers) sum += layer.size;
  return sum;
}

oci::Platform host_platform() {
  utsname name{};
  uname(&name);
  return oci::parse_platform(std::string("linux/") + name.machine)
      .value_or(oci::Platform{.architecture = name.machine, .os = "linux"});
}

bool platform_matches(const oci::Platform& wanted, const oci::Platform& offered) {
  if (wanted.os != offered.os || wanted.architecture != offered.architecture) return false;
  if (wanted.architecture == "arm") return arm_level(offered) <= arm_level(wanted);
  const auto level = [](const oci::Platform& p) {  // arm64 v8 and amd64 v1 are the plain ones
    return p.variant == "v8" || p.variant == "v1" ? std::string() : p.variant;
  };
  return level(offered).empty() || level(offered) == level(wanted);
}

const oci::Descriptor* choose_platform(const oci::Index& index, const oci::Platform& wanted) {
  const oci::Descriptor* best = nullptr;
  for (const oci::Descriptor& d : index.manifests) {
    if (!is_manifest(d) && !is_index(d)) continue;
    if (d.platform) {
      if (!platform_matches(wanted, *d.platform)) continue;
      // Of several that fit the highest variant is meant.
      if (best && best->platform && arm_level(*best->platform) >= arm_level(*d.platform)) continue;
      best = &d;
    } else if (index.manifests.size() == 1) {
      best = &d;
    }
  }
  return best;
}

std::optional<NamedImage> find_image(const Store& store, std::string_view text) {
  const auto entries = store.images();
  const auto parsed = parse_reference(text);
  if (parsed) {
    const Reference full = with_default_tag(*parsed);
    for (const NamedImage& entry : entries) {
      if (!full.digest.empty()) {
        const auto own = parse_reference(entry.name);
        if (entry.descriptor.digest == full.digest && own && own->name() == full.name())
          return entry;
      } else if (entry.name == full.text()) {
        return entry;
      }
    }
  }
  for (const NamedImage& entry : entries)
    if (!entry.name.empty() && entry.name == text) return entry;

  const std::string_view prefix = hex_prefix(text);
  if (prefix.empty()) return std::nullopt;
  std::optional<NamedImage> found;
  for (const NamedImage& entry : entries) {
    if (!entry.descriptor.digest.hex().starts_with(prefix) &&
        !id_of(store, entry.descriptor).starts_with(prefix))
      continue;
    if (found && found->descriptor.digest != entry.descriptor.digest)
      throw Error("'" + std::string(text) + "' is the start of more than one image's id");
    if (!found) found = entry;
  }
  return found;
}

Image load_image(Store& store, const oci::Descriptor& top, std::string name,
                 const std::optional<oci::Platform>& platform) {
  Image image;
  image.name = std::move(name);
  image.top = top;
  image.manifest_blob = top;
  hold_or_throw(store, top, "image");
  const oci::Platform wanted = platform.value_or(host_platform());
  // An index may name indexes; image-spec sets no depth, hostile input gets one.
  for (int depth = 0; is_index(image.manifest_blob); ++depth) {
    const std::string file = "index " + image.manifest_blob.digest.text();
    if (depth == 4) throw Error(file + ": nested too deeply");
    const oci::Index index = oci::read_index(store.read_blob(image.manifest_blob.digest), file);
    const oci::Descriptor* chosen = choose_platform(index, wanted);
    if (chosen == nullptr)
      throw Error("image " + image.name + " has no manifest for " + oci::platform_text(wanted));
    image.manifest_blob = *chosen;
    hold_or_throw(store, *chosen, "manifest");
  }
  if (!is_manifest(image.manifest_blob))
    throw Error("image " + image.name + ": media type '" + image.manifest_blob.media_type +
                "' is no image manifest");
  const std::string text = image.manifest_blob.digest.text();
  image.manifest =
      oci::read_manifest(store.read_blob(image.manifest_blob.digest), "manifest " + text);
  hold_or_throw(store, image.manifest.config, "config");
  for (const oci::Descriptor& layer : image.manifest.layers) hold_or_throw(store, layer, "layer");
  image.config = oci::read_image_config(store.read_blob(image.manifest.config.digest),
                                        "config " + image.manifest.config.digest.text());
  if (image.config.diff_ids.size() != image.manifest.layers.size())
    throw Error("image " + image.name + ": manifest " + text + " has " +
                std::to_string(image.manifest.layers.size()) + " layers, its config has " +
                std::to_string(image.config.diff_ids.size()) + " diff ids");
  if (platform) {
    const oci::Platform own{.architecture = image.config.architecture,
                            .os = image.config.os,
                            .variant = image.config.variant};
    if (!platform_matches(wanted, own))
      throw Error("image " + image.name + " is for " + oci::platform_text(own) + ", not for " +
                  oci::platform_text(wanted));
  }
  return image;
}

std::optional<Image> try_load_image(Store& store, std::string_view text,
                                    const std::optional<oci::Platform>& platform) {
  const auto entry = find_image(store, text);
  if (!entry) return std::nullopt;
  return load_image(store, entry->descriptor, entry->name, platform);
}

Image load_image(Store& store, std::string_view text,
                 const std::optional<oci::Platform>& platform) {
  auto image = try_load_image(store, text, platform);
  if (!image) {
    if (const auto parsed = parse_reference(text); !parsed && hex_prefix(text).empty())
      throw Error("reference '" + std::string(text) + "' " + parsed.error());
    throw no_such_image(store, text);
  }
  return std::move(*image);
}

oci::Descriptor store_image(Store& store, const oci::ImageConfig& config,
                            std::vector<oci::Descriptor> layers,
                            const oci::Annotations& annotations) {
  oci::Manifest manifest;
  manifest.config = store.put_blob(oci::write(config), oci::media::config, Sync::no);
  manifest.layers = std::move(layers);
  manifest.annotations = annotations;
  oci::Descriptor result = store.put_blob(oci::write(manifest), manifest.media_type, Sync::no);
  result.platform = oci::Platform{.architecture = config.architecture,
                                  .os = config.os,
                                  .os_version = config.os_version,
                                  .os_features = config.os_features,
                                  .variant = config.variant};
  return result;
}

std::vector<std::string> chain_ids(const std::vector<oci::Digest>& diff_ids) {
  std::vector<std::string> result;
  for (const oci::Digest& id : diff_ids)
    result.push_back(result.empty() ? id.text()
                                    : oci::Digest::sha256(result.back() + " " + id.text()).text());
  return result;
}

std::vector<oci::Descriptor> reachable(const Store& store, const oci::Descriptor& top) {
  std::vector<oci::Descriptor> result;
  std::set<oci::Digest> seen;
  std::vector<oci::Descriptor> todo{top};
  while (!todo.empty() && result.size() < 100'000) {
    oci::Descriptor d = std::move(todo.back());
    todo.pop_back();
    if (!seen.insert(d.digest).second) continue;
    try {
      if (is_index(d)) {
        for (auto& m : oci::read_index(store.read_blob(d.digest), d.digest.text()).manifests)
          todo.push_back(std::move(m));
      } else if (is_manifest(d)) {
        oci::Manifest m = oci::read_manifest(store.read_blob(d.digest), d.digest.text());
        todo.push_back(std::move(m.config));
        for (auto& layer : m.layers) todo.push_back(std::move(layer));
      }
    } catch (const std::exception&) {
      // Missing or damaged: it reaches nothing; fsck reports it.
    }
    result.push_back(std::move(d));
  }
  return result;
}

}  // namespace kiln
