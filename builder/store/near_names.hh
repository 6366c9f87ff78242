// Owns: what is said when the store lacks an image: which of its own names may have been meant.
// Does not own: looking for the image.
#pragma once

#include <string>
#include <string_view>

#include "builder/registry/reference.hh"
#include "builder/store/store.hh"
#include "builder/sys/error.hh"

namespace kiln {

// "; the store has base:1, base:2": at most three, the nearest first; "" when none is near.
std::string near_names(const Store& store, const Reference& wanted);

// "no image 'bose' in store DIR; the store has base:1". `text` as the user gave it, an id too.
Error no_such_image(const Store& store, std::string_view text);

}  // namespace kiln
