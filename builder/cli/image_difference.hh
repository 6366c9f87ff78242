// Owns: what differs between two images of a store, layer by layer, from their indexes.
// Does not own: configurations, or how it is shown elsewhere than on a terminal.
#pragma once

#include <string>
#include <vector>

#include "builder/store/image.hh"

namespace kiln::cli {

struct FileDifference {
  char kind;         // A added, D removed (from the layer), M modified
  std::string path;  // without a leading slash
  std::string what;  // "mode 644 -> 755, content"
};

struct LayerDifference {
  size_t number = 0;          // from 1
  std::string before, after;  // diff ids; "" where an image has no such layer
  std::vector<FileDifference> files;
};

// Layers of different diff ids only; indexes that are not there yet are made.
std::vector<LayerDifference> compare_layers(Store& store, const Image& a, const Image& b);

// A line for the layer and one for each file.
std::string difference_text(const LayerDifference& layer);

}  // namespace kiln::cli
