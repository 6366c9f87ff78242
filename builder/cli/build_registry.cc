#include "builder/cli/build_registry.hh"

#include "builder/cli/verb.hh"
#include "builder/registry/store_image.hh"

namespace kiln::cli {

RegistryAccess& BuildRegistry::access() {
  const std::lock_guard lock(mutex_);
  if (!access_)
    access_ = std::make_unique<RegistryAccess>(load_registries(), "",
                                               [this] { return cancel_.requested(); });
  return *access_;
}

solve::Puller BuildRegistry::puller() {
  return [this](const Reference& reference, const oci::Platform& platform, StepId) {
    const StepId id = progress_.begin("pull " + reference.familiar());
    try {
      PullOptions how;
      how.platform = platform;
      const Pulled pulled = pull_image(store_, access(), reference, how, progress_, id);
      progress_.end(id, pulled.was_there ? Outcome::cached : Outcome::done);
    } catch (...) {
      progress_.end(id, Outcome::failed);
      throw;
    }
  };
}

void BuildRegistry::push(const oci::Descriptor& image, const std::vector<std::string>& names) {
  if (names.empty()) throw UsageError("nothing to push to: name the image with --tag");
  for (const std::string& name : names) {
    const Reference destination = require_reference(name);
    const StepId id = progress_.begin("push " + destination.familiar());
    try {
      push_image(store_, access(), image, destination, {}, progress_, id);
      progress_.end(id, Outcome::done);
    } catch (Error& error) {
      progress_.end(id, Outcome::failed);
      error.prepend("push " + destination.familiar());
      throw;
    }
  }
}

}  // namespace kiln::cli
