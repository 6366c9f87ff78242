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
  const std::string directory = store.sub_directory(snapshots_directory(Snapshotter::Kind::overlay));
  const std::string why = why_no_overlay(directory);
  if (why.empty()) return open_overlay_snapshotter(directory);
  if (kind == "overlay") throw Error("--rootfs overlay: " + why);
  return nullptr;
}

std::vector<std::unique_ptr<Snapshotter>> existing_snapshots(const Store& store) {
  std::vector<std::unique_ptr<Snapshotter>> found;
  using Kind = Snapshotter::Kind;
  for (const Kind kind : {Kind::overlay, Kind::copy}) {
    const std::string directory = store.path() + "/kiln/" + snapshots_directory(kind);
    if (access(directory.c_str(), F_OK) != 0) continue;
    found.push_back(kind == Kind::overlay ? open_overlay_snapshotter(directory)
                                          : open_copy_snapshotter(directory));
  }
  return found;
}

}  // namespace kiln::cli
