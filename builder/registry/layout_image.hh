// Owns: any OCI image layout (a directory) as a place that images come from and go to, without
// making a store of it. Does not own: the store, which is a layout with more (store/).
#pragma once

#include <optional>
#include <string>

#include "builder/registry/transfer.hh"

namespace kiln {

class LayoutSource final : public ImageSource {
 public:
  explicit LayoutSource(const std::string& directory);

  // The entry of index.json that goes by `tag` (its bare tag, or the tag of a complete name); with
  // "" the only one. Throws Error that lists what there is.
  Document top(const std::string& tag);

  std::optional<Document> document(const oci::Descriptor& descriptor) override;
  void stream(const oci::Descriptor& blob, ByteSink& sink) override;
  Fd open(const oci::Descriptor& blob) override;

 private:
  std::string directory_;
  Fd root_, blobs_;
};

class LayoutTarget final : public ImageTarget {
 public:
  // Creates what is missing; a directory that holds something else is refused.
  explicit LayoutTarget(const std::string& directory);

  // Replaces the entry that has the tag; "" adds a nameless one.
  void name_document(const std::string& tag, const Document& document);

  bool has_document(const oci::Descriptor& descriptor) override;
  void put_document(const Document& document) override;
  bool put_blob(const oci::Descriptor& blob, ImageSource& source, const ByteCount& moved) override;

 private:
  bool has(const oci::Digest& digest, int64_t size) const;
  // Writes a blob through `fill`, checks it and gives it its name.
  void write(const oci::Descriptor& blob, const std::function<void(ByteSink&)>& fill);

  std::string directory_;
  Fd root_, blobs_;
};

}  // namespace kiln
