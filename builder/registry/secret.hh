// Owns: text that must never be shown: a password, a token, a header that holds one.
// Does not own: where it comes from or who may have it.
#pragma once

#include <string>
#include <utility>

namespace kiln {

// No stream operator, no conversion to string, no comparison that a test framework could print:
// the only way to the text is reveal(), which can be searched for (CVE-2023-26054).
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;
  Secret(Secret&&) noexcept = default;
  Secret& operator=(const Secret&) = default;
  Secret& operator=(Secret&&) noexcept = default;
  ~Secret() { wipe(); }

  bool empty() const { return text_.empty(); }
  const std::string& reveal() const { return text_; }

 private:
  void wipe() noexcept {
    // volatile: a compiler must not see that nobody reads it any more.
    volatile char* p = text_.data();
    for (size_t i = 0; i < text_.size(); ++i) p[i] = 0;
  }

  std::string text_;
};

}  // namespace kiln
