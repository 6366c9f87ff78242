// Owns: what becomes of a built stage: an image in the store, its names, or its files as a tar or a
// directory. Does not own: building, or archives of images (store/).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "builder/solve/solver.hh"

namespace kiln::solve {

struct ResultOptions {
  std::map<std::string, std::string> labels;       // --label
  std::map<std::string, std::string> annotations;  // --annotation, of the manifest
  bool squash = false;                             // one layer above the base
};

struct ResultImage {
  oci::Descriptor manifest;
  oci::Digest config;  // the image id
};

// Writes config and manifest; the image has no name yet.
ResultImage store_result(Layers& layers, const Built& built, const ResultOptions& options);

// The root filesystem as one plain tar, whiteouts resolved, to `out`.
void write_root_tar(Layers& layers, const ChainRef& chain, ByteSink& out);
// Its files into `directory` (created; existing files are replaced). Owners and devices only as
// root.
void write_root_directory(Layers& layers, const ChainRef& chain, const std::string& directory);

}  // namespace kiln::solve
