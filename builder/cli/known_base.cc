#include "builder/cli/known_base.hh"

#include "builder/store/image.hh"
#include "builder/sys/error.hh"

namespace kiln::cli {

std::optional<oci::ImageConfig> try_known_config(Store& store, const stage::Origin& origin,
                                                 const oci::Platform& platform) {
  if (origin.kind != stage::Origin::Kind::image) return std::nullopt;
  try {
    if (auto image = try_load_image(store, origin.name, origin.platform.value_or(platform)))
      return image->config;
  } catch (const Error&) {
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace kiln::cli
