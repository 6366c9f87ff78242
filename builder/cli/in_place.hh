// Owns: whether `build --isolation in-place` may take over the root directory, what it leaves
// alone, and what a killed one left behind. Does not own: the tree, or the build.
#pragma once

#include <memory>

#include "builder/cli/build_request.hh"
#include "builder/solve/in_place.hh"
#include "builder/store/store.hh"

namespace kiln::cli {

// Made before the first thread: it forks. Holds a lock on the root directory, so that no other
// build takes it meanwhile.
class InPlaceBuild {
 public:
  // Throws Error, with nothing changed: outside of a container; not root; kiln's executable or a
  // library of it would be taken away; another build has the root.
  InPlaceBuild(const Arguments& arguments, const solve::BuildRequest& request,
               const std::vector<BuildOutput>& outputs, const Store& store);
  ~InPlaceBuild();
  InPlaceBuild(const InPlaceBuild&) = delete;
  InPlaceBuild& operator=(const InPlaceBuild&) = delete;

  solve::InPlace& parts() { return *parts_; }

 private:
  Fd lock_;
  Fd journal_;
  std::unique_ptr<InPlaceRoot> root_;
  std::unique_ptr<InPlaceServer> server_;
  std::unique_ptr<solve::InPlace> parts_;
};

// Before every command: what a build in place that was killed left in this container (secrets,
// caches in their places) is removed and put back. `store`: path of the store. Does nothing where
// there is nothing, while such a build runs, or in another container.
void recover_in_place(const std::string& store);

}  // namespace kiln::cli
