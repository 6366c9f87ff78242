// Owns: the images that a build starts from, by whatever name the Dockerfile or a --build-context
// gives them; each is looked up once a build. Does not own: the store, or how a registry is asked.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "builder/progress/progress.hh"
#include "builder/registry/reference.hh"
#include "builder/solve/request.hh"
#include "builder/store/image.hh"

namespace kiln::solve {

// Fetches an image into the store and names it there; throws Error when it cannot be had. Empty
// when this program was built or called without registries.
using Puller =
    std::function<void(const Reference& reference, const oci::Platform& platform, StepId step)>;

class Images {
 public:
  Images(Store& store, const BuildRequest& request, Puller puller)
      : store_(store), request_(request), puller_(std::move(puller)) {}

  // An image origin, or a named context that is an image (docker-image://, oci-layout://). Throws
  // Error "no such image …" with near names. A digest in the reference is what the result has.
  std::shared_ptr<const Image> get(const stage::Origin& origin, StepId step);

  // Names that a mistyped FROM or --from may have meant. Before the first get().
  void set_stages(std::vector<std::string> names) { stages_ = std::move(names); }

  // Whether a named context is an image rather than files.
  bool is_image_context(const std::string& name) const;
  const std::string& context_text(const std::string& name) const;

 private:
  std::shared_ptr<const Image> find(const std::string& name, const oci::Platform& platform,
                                    StepId step);

  Store& store_;
  const BuildRequest& request_;
  Puller puller_;
  std::vector<std::string> stages_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Image>> known_;
};

// Copies an image of another OCI layout into the store: `where` is DIR, DIR:TAG or DIR@DIGEST.
// Every blob is verified on the way. Returns the descriptor that the layout's index has for it.
oci::Descriptor import_layout(Store& store, const std::string& where);

}  // namespace kiln::solve
