// Owns: what COPY, ADD and read-only mounts read from, seen through one interface whether it is a
// directory (the build context, a mounted stage) or only the index of an image's layers; and the
// digest of what was selected. Does not own: which files an instruction selects (copy_plan.hh).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "builder/context/content_digest.hh"
#include "builder/context/context.hh"
#include "builder/layer/layer_index.hh"

namespace kiln {

// Paths as in Context: relative to the tree's root, no leading slash, links in parents followed
// inside the root. Two implementations: ContextTree and IndexTree.
class SourceTree {
 public:
  virtual ~SourceTree() = default;
  virtual std::optional<ContextEntry> stat(std::string_view path, bool follow_last) const = 0;
  virtual std::vector<ContextEntry> walk(const std::string& path) const = 0;
  virtual std::vector<std::string> expand(std::string_view pattern) const = 0;
  // True when `path` exists but .dockerignore hides it: for the error message.
  virtual bool hidden(std::string_view path) const = 0;
  // Digest of a selection, paths taken relative to `base`; comparable only between trees of the
  // same kind (the key of a step names the kind).
  virtual oci::Digest digest(std::span<const ContextEntry> entries, std::string_view base,
                             const DigestOptions& options) const = 0;
};

class ContextTree final : public SourceTree {
 public:
  explicit ContextTree(const Context& context) : context_(context) {}  // borrowed
  std::optional<ContextEntry> stat(std::string_view path, bool follow_last) const override;
  std::vector<ContextEntry> walk(const std::string& path) const override;
  std::vector<std::string> expand(std::string_view pattern) const override;
  bool hidden(std::string_view path) const override;
  oci::Digest digest(std::span<const ContextEntry> entries, std::string_view base,
                     const DigestOptions& options) const override;

 private:
  const Context& context_;
};

// The root filesystem of an image or a finished stage, by its layers' indexes: nothing is unpacked.
class IndexTree final : public SourceTree {
 public:
  explicit IndexTree(MergedIndex index) : index_(std::move(index)) {}
  std::optional<ContextEntry> stat(std::string_view path, bool follow_last) const override;
  std::vector<ContextEntry> walk(const std::string& path) const override;
  std::vector<std::string> expand(std::string_view pattern) const override;
  bool hidden(std::string_view) const override { return false; }
  oci::Digest digest(std::span<const ContextEntry> entries, std::string_view base,
                     const DigestOptions& options) const override;

 private:
  void walk_into(const std::string& path, std::vector<ContextEntry>& out) const;
  MergedIndex index_;
};

}  // namespace kiln
