#include "builder/registry/url.hh"

#include <algorithm>
#include <memory>

#include "builder/registry/curl_library.hh"

namespace kiln {

namespace {

constexpr size_t url_limit = 16384;  // presigned locations have a few kilobytes

using Handle = std::unique_ptr<CURLU, decltype(&::curl_url_cleanup)>;

Handle new_handle() {
  return Handle(curl().url(), curl().url_cleanup);
}

std::string part(CURLU* handle, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl().url_get(handle, which, &text, flags) != CURLUE_OK || text == nullptr) return {};
  std::string result = text;
  curl().free(text);
  return result;
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

std::expected<Url, std::string> taken_apart(CURLU* handle) {
  Url url;
  url.scheme = part(handle, CURLUPART_SCHEME);
  if (url.scheme != "http" && url.scheme != "https") return std::unexpected("is no http(s) URL");
  if (!part(handle, CURLUPART_USER).empty() || !part(handle, CURLUPART_PASSWORD).empty())
    return std::unexpected("holds a user or password");
  url.host = part(handle, CURLUPART_HOST);
  std::ranges::transform(url.host, url.host.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  if (url.host.empty()) return std::unexpected("has no host");
  url.port = part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  curl().url_set(handle, CURLUPART_FRAGMENT, nullptr, 0);
  url.text = part(handle, CURLUPART_URL);
  if (url.text.empty()) return std::unexpected("is malformed");
  return url;
}

}  // namespace

std::string Url::authority() const {
  const bool usual = port == (scheme == "https" ? "443" : "80");
  return usual ? host : host + ":" + port;
}

std::expected<Url, std::string> parse_url(std::string_view text) {
  if (text.size() > url_limit) return std::unexpected("is too long");
  if (!is_printable(text)) return std::unexpected("holds spaces or control characters");
  const Handle handle = new_handle();
  if (curl().url_set(handle.get(), CURLUPART_URL, std::string(text).c_str(), 0) != CURLUE_OK)
    return std::unexpected("is no http(s) URL");
  return taken_apart(handle.get());
}

std::expected<Url, std::string> resolve_url(const Url& base, std::string_view location) {
  if (location.size() > url_limit) return std::unexpected("is too long");
  if (location.empty() || !is_printable(location))
    return std::unexpected("is empty or holds spaces or control characters");
  const Handle handle = new_handle();
  // A URL set over a URL is resolved against it (RFC 3986 section 5).
  if (curl().url_set(handle.get(), CURLUPART_URL, base.text.c_str(), 0) != CURLUE_OK ||
      curl().url_set(handle.get(), CURLUPART_URL, std::string(location).c_str(), 0) != CURLUE_OK)
    return std::unexpected("is malformed");
  return taken_apart(handle.get());
}

std::string url_encoded(std::string_view text) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

void add_query(std::string& url, std::string_view name, std::string_view value) {
  url += url.find('?') == std::string::npos ? '?' : '&';
  url += url_encoded(name) + "=" + url_encoded(value);
}

bool is_loopback(std::string_view authority) {
  if (authority.starts_with("[::1]")) return true;
  const std::string_view host = authority.substr(0, authority.find(':'));
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  return host.starts_with("127.") &&
         std::ranges::all_of(host, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace kiln
