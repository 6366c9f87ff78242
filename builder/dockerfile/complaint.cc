#include "builder/dockerfile/complaint.hh"

#include <algorithm>

#include "builder/dockerfile/characters.hh"
#include "builder/sys/edit_distance.hh"

namespace kiln::dockerfile {

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string wanted = lower(word);
  if (wanted.empty() || wanted.size() > 64) return {};
  std::string best;
  size_t best_distance = wanted.size() < 4 ? 2 : 3;  // more than that is another word
  for (const std::string& candidate : candidates) {
    const size_t far = edit_distance(wanted, lower(candidate));
    if (far < best_distance) {
      best_distance = far;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string name = nearest(word, candidates);
  return name.empty() ? name : "did you mean " + name + "?";
}

}  // namespace kiln::dockerfile
