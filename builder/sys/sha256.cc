#include "builder/sys/sha256.hh"

#include <openssl/evp.h>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

// EVP_sha256() looks its implementation up at every start, which costs more than hashing a small
// file.
const EVP_MD* algorithm() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

unsigned nibble(char c) {
  return static_cast<unsigned>(c >= 'a' ? c - 'a' + 10 : c - '0') & 15;
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  start();
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(context_);
}

void Sha256::start() {
  if (EVP_DigestInit_ex2(context_, algorithm(), nullptr) != 1)
    throw Error("cannot start a sha256 digest");
}

void Sha256::update(std::span<const std::byte> data) {
  if (EVP_DigestUpdate(context_, data.data(), data.size()) != 1)
    throw Error("cannot continue a sha256 digest");
}

void Sha256::update(std::string_view data) {
  update(std::as_bytes(std::span(data.data(), data.size())));
}

Sha256::Raw Sha256::finish() {
  Raw raw{};
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context_, raw.data(), &size) != 1)
    throw Error("cannot finish a sha256 digest");
  start();
  return raw;
}

std::string hex(std::span<const unsigned char> raw) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(raw.size() * 2);
  for (unsigned char byte : raw) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

Sha256::Raw raw_from_hex(std::string_view text) {
  Sha256::Raw raw{};
  if (text.size() != 2 * raw.size()) return raw;
  for (size_t i = 0; i < raw.size(); ++i)
    raw[i] = static_cast<unsigned char>(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
  return raw;
}

}  // namespace kiln
