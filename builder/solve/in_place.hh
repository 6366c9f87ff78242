// Owns: bringing the root of this container to what a step starts from, and the layer of what the
// step changed there. Does not own: the tree itself (snapshot/in_place_root.hh), the process that
// runs steps (steps/in_place_server.hh), or which steps there are.
#pragma once

#include <memory>

#include "builder/snapshot/in_place_root.hh"
#include "builder/solve/layers.hh"
#include "builder/steps/in_place_server.hh"

namespace kiln::solve {

// What `--isolation in-place` has besides; made before the first thread. One step at a time.
class InPlace {
 public:
  InPlace(InPlaceRoot& root, InPlaceServer& server) : root_(root), server_(server) {}

  InPlaceServer& server() { return server_; }
  // The root is `chain` from here on: layers are added to what is there when that is below it, else
  // everything is taken away first.
  std::unique_ptr<Rootfs> take(Layers& layers, const ChainRef& chain);
  // The changes since take() as a layer; the root is `snapshot` then.
  PackedLayer pack(Layers& layers, const ChainRef& before, const std::string& snapshot,
                   const ChangeOptions& options, ChangeStats& stats);
  // Removes copied files (secrets, scripts) that the command linked or moved elsewhere. How many.
  size_t remove_left_files();

 private:
  InPlaceRoot& root_;
  InPlaceServer& server_;
};

}  // namespace kiln::solve
