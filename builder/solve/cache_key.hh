// Owns: the key of a build step: its named parts, their digest, and what differs between two keys.
// Does not own: where results are kept (store/), or which parts a step has (solver).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oci-spec/digest.hh"

namespace kiln::solve {

// Parts are added in a fixed order by the code of each kind of step. Names and values are length
// prefixed in the digest, so no two different lists of parts give the same bytes.
class CacheKey {
 public:
  // `kind` is the kind of step ("run", "copy"), the first part of every key.
  explicit CacheKey(std::string_view kind);

  // A part whose value is shown by --explain.
  CacheKey& add(std::string_view name, std::string_view value);
  // A list, one value an entry.
  CacheKey& add(std::string_view name, const std::vector<std::string>& values);

  oci::Digest digest() const;
  const std::vector<std::pair<std::string, std::string>>& parts() const { return parts_; }

 private:
  std::vector<std::pair<std::string, std::string>> parts_;
};

using KeyParts = std::vector<std::pair<std::string, std::string>>;

// Why `now` missed when `before` (the last key of a step at the same place of the same Dockerfile)
// was there: "command changed: \"npm i\" -> \"npm ci\""; one sentence a differing part.
std::vector<std::string> explain_difference(const KeyParts& before, const KeyParts& now);

}  // namespace kiln::solve
