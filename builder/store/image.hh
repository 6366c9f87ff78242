// Owns: an image of the store as a whole: looked up as a person names it, its documents read and
// checked against each other. Does not own: blobs or names as such (store.hh).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/store/store.hh"

namespace kiln {

struct Image {
  std::string name;     // complete reference, "" when nameless
  oci::Descriptor top;  // what the name points to: a manifest or an index
  oci::Descriptor manifest_blob;
  oci::Manifest manifest;
  oci::ImageConfig config;

  const oci::Digest& id() const { return manifest.config.digest; }
  int64_t size() const;  // of the compressed layers, bytes
};

// Platform of this machine.
oci::Platform host_platform();
// Whether an image for `offered` serves a wish for `wanted` (variants of arm are downward
// compatible).
bool platform_matches(const oci::Platform& wanted, const oci::Platform& offered);

// The entry of an index that serves a wish for `wanted` best, null when none does.
const oci::Descriptor* choose_platform(const oci::Index& index, const oci::Platform& wanted);

// The entry that a person means by `text`, without holding or reading it further; see
// try_load_image(). Throws Error when `text` is ambiguous.
std::optional<NamedImage> find_image(const Store& store, std::string_view text);

// `text` is a reference in any form, a foreign bare name, an image id or manifest digest, or at
// least 4 leading hex digits of one. Holds everything that the image consists of. nullopt when
// there is none; Error when `text` is ambiguous, when blobs are missing, or when no manifest fits
// the platform.
std::optional<Image> try_load_image(Store& store, std::string_view text,
                                    const std::optional<oci::Platform>& platform = {});
// Throws Error "no image 'X' in the store".
Image load_image(Store& store, std::string_view text,
                 const std::optional<oci::Platform>& platform = {});
// From a descriptor in hand. Checks that layers and diff ids agree in number.
Image load_image(Store& store, const oci::Descriptor& top, std::string name = {},
                 const std::optional<oci::Platform>& platform = {});

// What `image_config` and layers make: writes config and manifest, returns the manifest's
// descriptor (with platform), ready for set_name(). The layers' blobs must be there.
oci::Descriptor store_image(Store& store, const oci::ImageConfig& config,
                            std::vector<oci::Descriptor> layers,
                            const oci::Annotations& annotations = {});

// Chain ids of image-spec config.md "Layer ChainID", bottom first: names of snapshots.
std::vector<std::string> chain_ids(const std::vector<oci::Digest>& diff_ids);

// Digests of everything reachable from a descriptor, itself included, blobs that are missing
// included; descends only into manifests and indexes.
std::vector<oci::Descriptor> reachable(const Store& store, const oci::Descriptor& top);

}  // namespace kiln
