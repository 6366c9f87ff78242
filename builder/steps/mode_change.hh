// Owns: `--chmod` of COPY and ADD: octal numbers and chmod(1)'s symbolic modes.
// Does not own: to which files it applies.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

class ModeChange {
 public:
  // "755", "0644", "u=rwX,go=rX", "a+x", "g=u". The error says what would be right.
  static std::expected<ModeChange, std::string> parse(std::string_view text);

  // The twelve permission bits after the change; X counts as x for directories and for files that
  // have any x already.
  uint32_t apply(uint32_t mode, bool directory) const;
  bool absolute() const { return absolute_; }  // a number, which asks nothing of what there was

 private:
  struct Clause {
    uint32_t who = 0;   // mask of the bits that may change
    char op = '=';      // + - =
    uint32_t bits = 0;  // rwx s t, spread over all three classes
    bool conditional_x = false;
    char copy_from = 0;  // u g o: the permissions of that class
  };
  bool absolute_ = false;
  uint32_t mode_ = 0;
  std::vector<Clause> clauses_;
};

}  // namespace kiln
