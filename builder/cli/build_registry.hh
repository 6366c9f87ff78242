// Owns: what `kiln build` asks of registries: bases that are pulled, results that are pushed;
// opened when first needed. Does not own: either transfer (registry/).
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "builder/registry/registry_image.hh"
#include "builder/solve/images.hh"
#include "builder/steps/runtime_call.hh"

namespace kiln::cli {

// Thread-safe. All arguments are borrowed.
class BuildRegistry {
 public:
  BuildRegistry(Store& store, Progress& progress, const Cancellation& cancel)
      : store_(store), progress_(progress), cancel_(cancel) {}

  solve::Puller puller();
  // Throws UsageError when there is no name to push to.
  void push(const oci::Descriptor& image, const std::vector<std::string>& names);

 private:
  RegistryAccess& access();

  Store& store_;
  Progress& progress_;
  const Cancellation& cancel_;
  std::mutex mutex_;
  std::unique_ptr<RegistryAccess> access_;
};

}  // namespace kiln::cli
