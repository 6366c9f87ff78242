// Owns: the store, and any OCI layout's blobs, as places that images come from and go to; pulling
// into the store and pushing out of it. Does not own: registries (registry_image.hh), names that a
// command line gives.
#pragma once

#include <optional>
#include <string>

#include "builder/registry/registry_image.hh"
#include "builder/store/image.hh"

namespace kiln {

class StoreSource final : public ImageSource {
 public:
  explicit StoreSource(Store& store) : store_(store) {}
  std::optional<Document> document(const oci::Descriptor& descriptor) override;
  void stream(const oci::Descriptor& blob, ByteSink& sink) override;
  Fd open(const oci::Descriptor& blob) override;

 private:
  Store& store_;
};

class StoreTarget final : public ImageTarget {
 public:
  explicit StoreTarget(Store& store) : store_(store) {}
  bool has_document(const oci::Descriptor& descriptor) override;
  void put_document(const Document& document) override;
  bool put_blob(const oci::Descriptor& blob, ImageSource& source, const ByteCount& moved) override;

 private:
  Store& store_;
};

struct PullOptions {
  std::optional<oci::Platform> platform;  // else this machine's
  bool all_platforms = false;
};

struct Pulled {
  oci::Descriptor top;
  bool was_there = false;  // nothing was fetched
};

// Fetches what `name` means and names it so in the store (a digest without a tag: nameless, found
// by its digest). Throws Error "no such image …" with near tags.
Pulled pull_image(Store& store, RegistryAccess& access, const Reference& name,
                  const PullOptions& options, Progress& progress, StepId step);

struct PushOptions {
  std::optional<oci::Platform> platform;  // of an index only this manifest, which gets the name
  bool all_platforms = true;
};

// Sends an image of the store to `destination` (its tag, or by digest alone). Returns what the
// destination names now.
oci::Descriptor push_image(Store& store, RegistryAccess& access, const oci::Descriptor& image,
                           const Reference& destination, const PushOptions& options,
                           Progress& progress, StepId step);

}  // namespace kiln
