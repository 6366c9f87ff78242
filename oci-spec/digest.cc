#include "oci-spec/digest.hh"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace oci {

namespace {

bool is_lower_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

std::expected<Digest, std::string> Digest::parse(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    return std::unexpected("digest without an algorithm, expected sha256:<64 hex digits>");
  const std::string_view algorithm = text.substr(0, colon);
  const std::string_view hex = text.substr(colon + 1);
  const size_t wanted = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
  if (wanted == 0)
    return std::unexpected("unsupported digest algorithm, expected sha256 or sha512");
  if (hex.size() != wanted)
    return std::unexpected("digest has " + std::to_string(hex.size()) + " hex digits, expected " +
                           std::to_string(wanted));
  for (char c : hex)
    if (!is_lower_hex(c)) return std::unexpected("digest has a character outside 0-9a-f");
  return Digest(std::string(text));
}

std::string_view Digest::algorithm() const {
  return std::string_view(text_).substr(0, text_.find(':'));
}

std::string_view Digest::hex() const {
  const size_t colon = text_.find(':');
  return colon == std::string::npos ? std::string_view() : std::string_view(text_).substr(colon + 1);
}

Digest Digest::sha256(std::span<const std::byte> content) {
  Hasher h;
  h.update(content);
  return h.finish();
}

Digest Digest::sha256(std::string_view content) {
  Hasher h;
  h.update(content);
  return h.finish();
}

struct Hasher::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  std::string algorithm;
  ~Context() { EVP_MD_CTX_free(md); }
};

Hasher::Hasher(std::string_view algorithm) : context_(std::make_unique<Context>()) {
  context_->algorithm = algorithm;
  const EVP_MD* md = algorithm == "sha256"   ? EVP_sha256()
                     : algorithm == "sha512" ? EVP_sha512()
                                             : nullptr;
  if (md == nullptr || EVP_DigestInit_ex(context_->md, md, nullptr) != 1)
    throw std::runtime_error("cannot start a " + std::string(algorithm) + " digest");
}

Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::span<const std::byte> data) {
  if (EVP_DigestUpdate(context_->md, data.data(), data.size()) != 1)
    throw std::runtime_error("cannot continue a digest");
}

void Hasher::update(std::string_view data) {
  update(std::as_bytes(std::span(data.data(), data.size())));
}

Digest Hasher::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context_->md, raw.data(), &size) != 1)
    throw std::runtime_error("cannot finish a digest");
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text = context_->algorithm + ":";
  text.reserve(text.size() + 2 * size_t{size});
  for (unsigned int i = 0; i < size; ++i) {
    text += digits[raw[i] >> 4];
    text += digits[raw[i] & 15];
  }
  return Digest(std::move(text));
}

}  // namespace oci
