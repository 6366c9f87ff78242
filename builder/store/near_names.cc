#include "builder/store/near_names.hh"

#include <algorithm>
#include <utility>
#include <vector>

#include "builder/sys/edit_distance.hh"

namespace kiln {

std::string near_names(const Store& store, const Reference& wanted) {
  std::vector<std::pair<size_t, std::string>> near;
  for (const NamedImage& i : store.images()) {
    const auto reference = parse_reference(i.name);
    if (!reference) continue;
    // Another tag of the same repository first, then a slip in the whole or in the name alone.
    const size_t d = reference->name() == wanted.name()
                         ? 0
                         : std::min(edit_distance(reference->familiar(), wanted.familiar()),
                                    edit_distance(reference->name(), wanted.name()));
    if (d <= std::max<size_t>(2, wanted.familiar().size() / 4))
      near.emplace_back(d, reference->familiar());
  }
  std::ranges::sort(near);
  std::string text;
  for (size_t i = 0; i < near.size() && i < 3; ++i) text += (i ? ", " : "") + near[i].second;
  return text.empty() ? "" : "; the store has " + text;
}

Error no_such_image(const Store& store, std::string_view text) {
  std::string message = "no image '" + std::string(text) + "' in store " + store.path();
  if (const auto reference = parse_reference(text)) message += near_names(store, *reference);
  return Error(message);
}

}  // namespace kiln
