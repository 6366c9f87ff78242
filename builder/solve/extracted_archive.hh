// Owns: what ADD unpacks: whether a file is an archive, and its content as a tree to copy from.
// Does not own: where it goes in the image (stage_run_copy.cc).
#pragma once

#include <optional>
#include <string>

#include "builder/context/context.hh"
#include "builder/layer/layer_index.hh"
#include "builder/sys/fd.hh"

namespace kiln::solve {

// A tar, plain or compressed in a way that is known.
bool is_archive(const Context& context, const ContextEntry& file);

// Removed with the object.
class ExtractedArchive {
 public:
  // Below the existing directory `parent`. Throws Error for an archive that breaks off.
  ExtractedArchive(const std::string& parent, const Context& context, const ContextEntry& file);
  ~ExtractedArchive();
  ExtractedArchive(const ExtractedArchive&) = delete;
  ExtractedArchive& operator=(const ExtractedArchive&) = delete;
  const Context& tree() const { return *tree_; }
  const LayerIndex& listed() const { return listed_; }  // what the archive has entries for

 private:
  Fd parent_;
  std::string name_;
  std::optional<Context> tree_;
  LayerIndex listed_;
};

}  // namespace kiln::solve
