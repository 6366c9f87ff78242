#include "builder/cli/snapshots.hh"

#include <unistd.h>

#include "builder/sys/error.hh"

namespace kiln::cli {

std::unique_ptr<Snapshotter> snapshots_for_bundle(const Store& store, std::string_view kind) {
  if (kind == "copy") return nullptr;
  const std::string directory = store.sub_directory("snapshots");
  const std::string why = why_no_overlay(directory);
  if (why.empty()) return open_overlay_snapshotter(directory);
  if (kind == "overlay") throw Error("--rootfs overlay: " + why);
  return nullptr;
}

std::unique_ptr<Snapshotter> snapshots_if_any(const Store& store) {
  const std::string directory = store.path() + "/kiln/snapshots";
  if (access(directory.c_str(), F_OK) != 0) return nullptr;
  return why_no_overlay(directory).empty() ? open_overlay_snapshotter(directory)
                                           : open_copy_snapshotter(directory);
}

}  // namespace kiln::cli
