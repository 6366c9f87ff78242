// Owns: text that must never be shown: a password, a token, a header or a file that holds one.
// Does not own: where it comes from or who may have it.
#pragma once

#include <string.h>

#include <string>
#include <utility>

namespace kiln {

// No stream operator, no conversion to string, no comparison that a test framework could print:
// the only way to the text is reveal(), which can be searched for (CVE-2023-26054). Overwritten
// when it goes.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { other.wipe(); }
  Secret& operator=(const Secret& other) {
    if (this != &other) *this = Secret(other);
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    text_.swap(other.text_);
    other.wipe();
    return *this;
  }
  ~Secret() { wipe(); }

  bool empty() const { return text_.empty(); }
  const std::string& reveal() const { return text_; }

 private:
  // All that was allocated: a short text stays in place when it is moved from.
  void wipe() noexcept {
    text_.resize(text_.capacity());
    explicit_bzero(text_.data(), text_.size());
    text_.clear();
  }

  std::string text_;
};

}  // namespace kiln
