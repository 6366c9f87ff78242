// Owns: what the store knows of a base image, for checks, which fetch nothing. Does not own: the
// rules that use it (stage/lint.hh), or bases of a build.
#pragma once

#include <optional>

#include "builder/stage/graph.hh"
#include "builder/store/store.hh"
#include "oci-spec/image.hh"

namespace kiln::cli {

// Never fails: an image that is ambiguous, damaged or for another platform is as good as unknown.
std::optional<oci::ImageConfig> try_known_config(Store& store, const stage::Origin& origin,
                                                 const oci::Platform& platform);

}  // namespace kiln::cli
