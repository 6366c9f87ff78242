// Owns: bundles made of images: the directory with config.json, root filesystem and the files that
// a container gets from outside its image, and taking it away again. Does not own: what config.json
// says (bundle_config.hh), or running it.
#pragma once

#include <sys/types.h>

#include <string>

#include "builder/snapshot/snapshotter.hh"
#include "builder/steps/bundle_config.hh"
#include "builder/store/image.hh"
#include "builder/store/store.hh"

namespace kiln {

struct BundleOptions {
  ContainerOptions container;
  Snapshotter* snapshots = nullptr;  // null: the image is unpacked into the bundle
  std::string container_name;        // noted in the lease, for `rmi`
  bool ends_with_process = false;    // prune may remove it once `process` is gone
  pid_t process = 0;                 // 0: this one
  // The poststop hook removes the bundle with its container; `remove_volumes`: the anonymous ones
  // too.
  bool ends_with_container = false, remove_volumes = false;
};

struct MadeBundle {
  std::string directory;  // absolute
  bool overlay = false;
};

// `directory` is created, or exists and is empty. What was made is removed again when it fails.
MadeBundle make_bundle(Store& store, const Image& image, const std::string& directory,
                       const BundleOptions& options);

// Undoes make_bundle(): unmounts, removes everything and the directory. Refuses a directory that is
// no bundle made here. `volumes`: its anonymous volumes too.
void remove_bundle(Store& store, const std::string& directory, bool volumes = false);

// Unmounts the root filesystem of a bundle whose container has ended and is kept, and ends its
// network: what it wrote
// stays beside it, in `upper`. One that was unpacked stays as it is.
void rest_bundle(const std::string& directory);

// Removes those bundles below kiln/bundles of the store whose process died before it could
// (kill -9 of `kiln run --rm`). The number removed.
size_t remove_dead_bundles(Store& store);

}  // namespace kiln
