// Owns: content digests as image-spec's descriptor.md defines them (sha256 and sha512).
// Does not own: files or blobs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace oci {

// A verified-by-grammar `algorithm:hex` pair. Default-constructed it is empty.
class Digest {
 public:
  Digest() = default;

  // Accepts `sha256:` + 64 or `sha512:` + 128 lower-case hex digits, nothing else
  // (image-spec, descriptor.md, "Registered algorithms"). The error says what was wrong.
  static std::expected<Digest, std::string> parse(std::string_view text);
  static Digest sha256(std::span<const std::byte> content);
  static Digest sha256(std::string_view content);

  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }  // "sha256:ab…"
  std::string_view algorithm() const;                // "sha256"
  std::string_view hex() const;

  auto operator<=>(const Digest&) const = default;

 private:
  friend class Hasher;
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// Streaming digest. After finish() only destruction or assignment is allowed.
class Hasher {
 public:
  explicit Hasher(std::string_view algorithm = "sha256");
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void update(std::span<const std::byte> data);
  void update(std::string_view data);
  Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace oci
