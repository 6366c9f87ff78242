#include "builder/cli/snapshots.hh"

#include <unistd.h>

#include "builder/sys/error.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln::cli {

std::unique_ptr<Snapshotter> snapshots_for_bundle(const Store& store, std::string_view kind) {
  if (kind == "copy") return nullptr;
  if (user_namespace().entered()) {
    // A mount in our own mount namespace would be gone before the bundle is run.
    if (kind == "overlay")
      throw Error("--rootfs overlay: without root nothing can be mounted that outlives kiln");
    return nullptr;
  }
  const std::string directory = store.sub_directory(snapshots_directory());
  const std::string why = why_no_overlay(directory);
  if (why.empty()) return open_overlay_snapshotter(directory);
  if (kind == "overlay") throw Error("--rootfs overlay: " + why);
  return nullptr;
}

std::unique_ptr<Snapshotter> snapshots_if_any(const Store& store) {
  const std::string directory = store.path() + "/kiln/" + snapshots_directory();
  if (access(directory.c_str(), F_OK) != 0) return nullptr;
  return why_no_overlay(directory).empty() ? open_overlay_snapshotter(directory)
                                           : open_copy_snapshotter(directory);
}

}  // namespace kiln::cli
