// Owns: what a build is asked for besides the Dockerfile, as far as stages care, and the seam to
// the images that stages start from. Does not own: the command line, stores or registries.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "oci-spec/image.hh"

namespace kiln::stage {

// Where files come from: the base of a stage, `COPY --from`, `RUN --mount=from=`.
struct Origin {
  enum class Kind {
    scratch,        // nothing
    stage,          // another stage of this file: `stage`
    image,          // `name` as written, a reference still to be resolved
    named_context,  // --build-context `name`
    context,        // the build context
  };
  Kind kind = Kind::scratch;
  size_t stage = 0;
  std::string name;
  std::optional<oci::Platform> platform;  // image: --platform of its FROM; absent: the target's

  bool operator==(const Origin&) const = default;
};

struct Inputs {
  std::map<std::string, std::string> build_args;
  std::string target;  // stage name or number; empty: the last stage
  oci::Platform build_platform;
  oci::Platform target_platform;
  // Whether --build-context gives this name. Absent: none.
  std::function<bool(const std::string& name)> has_context;
  bool every_base = false;  // asks for those of stages that the target does not need, too: a check
};

// The configuration of an image or named context that a needed stage starts from; called once for
// each such stage. nullopt: not known (kiln check without images), or a directory as context: then
// an empty configuration is taken.
using BaseConfig = std::function<std::optional<oci::ImageConfig>(const Origin& origin)>;

}  // namespace kiln::stage
