// Owns: what the verbs that talk to registries share: options, progress, being interrupted.
// Does not own: any verb, or what is transferred.
#pragma once

#include <memory>
#include <string>

#include "builder/cli/verb.hh"
#include "builder/registry/registry_image.hh"

namespace kiln::cli {

// Rows for option tables.
inline constexpr Option authfile_option{.name = "authfile",
                                        .argument = "FILE",
                                        .help =
                                            "credentials (else $REGISTRY_AUTH_FILE, containers' "
                                            "auth.json, Docker's config.json)",
                                        .completes = Completes::file};
inline constexpr Option insecure_option{
    .name = "insecure", .help = "accept plain http and any certificate, of every registry asked"};
inline constexpr Option progress_option{.name = "progress",
                                        .argument = "KIND",
                                        .help = "how progress is shown",
                                        .initial = "auto",
                                        .choices = "auto|tty|plain|json|quiet"};
inline constexpr Option quiet_option{
    .letter = 'q', .name = "quiet", .help = "print only the result"};

// One command's way to registries. Ctrl-C ends transfers in order (nothing half-written is left); a
// second one ends kiln at once.
class RegistryCommand {
 public:
  explicit RegistryCommand(const Arguments& arguments);
  ~RegistryCommand();
  RegistryCommand(const RegistryCommand&) = delete;
  RegistryCommand& operator=(const RegistryCommand&) = delete;

  RegistryAccess& access() { return access_; }
  Progress& progress() { return *progress_; }

  // Runs `work(step)` as one line of progress named `name`.
  template <class F>
  auto step(const std::string& name, F&& work) {
    const StepId id = progress_->begin(name);
    try {
      auto result = work(id);
      progress_->end(id, Outcome::done);
      return result;
    } catch (...) {
      progress_->end(id, Outcome::failed);
      throw;
    }
  }

 private:
  RegistryAccess access_;
  std::unique_ptr<Progress> progress_;
};

// --platform; nullopt when it was not given.
std::optional<oci::Platform> platform_argument(const Arguments& arguments);

}  // namespace kiln::cli
