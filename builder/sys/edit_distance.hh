// Owns: how far one word is from another, for "did you mean".
// Does not own: how far is still near, or upper and lower case.
#pragma once

#include <cstddef>
#include <string_view>

namespace kiln {

// Optimal string alignment distance: insertions, deletions, other characters, and swaps of
// neighbours, the commonest slip, each count one.
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace kiln
