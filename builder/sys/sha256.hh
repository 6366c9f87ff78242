// Owns: SHA-256 for many small inputs: one context used again and again, raw digests.
// Does not own: digests in documents (oci::Digest).
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace kiln {

class Sha256 {
 public:
  using Raw = std::array<unsigned char, 32>;

  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::span<const std::byte> data);
  void update(std::string_view data);
  Raw finish();  // and starts over

 private:
  void start();
  evp_md_ctx_st* context_;
};

std::string hex(std::span<const unsigned char> raw);
Sha256::Raw raw_from_hex(std::string_view hex);  // 64 lower-case digits, else all zero

}  // namespace kiln
