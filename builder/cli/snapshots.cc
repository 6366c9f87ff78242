#include "builder/cli/snapshots.hh"

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

}  // namespace kiln::cli
