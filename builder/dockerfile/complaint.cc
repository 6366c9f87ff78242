#include "builder/dockerfile/complaint.hh"

#include <algorithm>

#include "builder/dockerfile/characters.hh"

namespace kiln::dockerfile {

namespace {

size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string wanted = lower(word);
  if (wanted.empty() || wanted.size() > 64) return {};
  std::string best;
  size_t best_distance = wanted.size() < 4 ? 2 : 3;  // more than that is another word
  for (const std::string& candidate : candidates) {
    const size_t far = distance(wanted, lower(candidate));
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
