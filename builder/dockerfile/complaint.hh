// Owns: what is wrong with an instruction before its place in the file is known, and the search for
// the name that was meant.
// Does not own: the place; DockerfileError has it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "builder/sys/error.hh"

namespace kiln::dockerfile {

// `culprit` is the piece of the instruction's text to point at; empty for the instruction itself.
class Complaint : public Error {
 public:
  explicit Complaint(const std::string& message, std::string culprit = {}, std::string hint = {})
      : Error(message), culprit_(std::move(culprit)), hint_(std::move(hint)) {}

  const std::string& culprit() const { return culprit_; }
  const std::string& hint() const { return hint_; }

 private:
  std::string culprit_;
  std::string hint_;
};

// The candidate nearest to `word` by edit distance (a swap counts one), if near enough to be a slip
// of the fingers; empty otherwise. Case is ignored.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
// "did you mean NEAREST?" or empty.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace kiln::dockerfile
