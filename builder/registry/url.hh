// Owns: reading http(s) URLs: their origin, resolving what a Location header says, encoding of
// query values. Does not own: requests.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace kiln {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case, IPv6 in brackets
  std::string port;    // never empty: the scheme's own when none is given
  std::string text;    // the whole, without a fragment

  std::string origin() const { return scheme + "://" + host + ":" + port; }
  // host, and the port where it is not the scheme's own: for messages and configuration.
  std::string authority() const;
};

// Absolute http(s) URLs only, at most 16 KiB, without user information: a registry that redirects
// to http://user:password@host would have it sent. The error says what is wrong, without the text.
std::expected<Url, std::string> parse_url(std::string_view text);
// What `location` means in an answer to a request for `base`.
std::expected<Url, std::string> resolve_url(const Url& base, std::string_view location);

// RFC 3986 unreserved characters stay, everything else becomes %XX.
std::string url_encoded(std::string_view text);
// Appends "name=value", encoded, with the ? or & that is needed.
void add_query(std::string& url, std::string_view name, std::string_view value);

// Whether a host ("localhost", "127.0.0.1", "[::1]", "localhost:5000") is this machine.
bool is_loopback(std::string_view authority);

}  // namespace kiln
