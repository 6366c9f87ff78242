#include "builder/registry/reference.hh"

#include <algorithm>

#include "builder/sys/error.hh"

namespace kiln {

namespace {

// ASCII only, independent of the locale.
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alnum(char c) {
  return is_lower(c) || is_upper(c) || is_digit(c);
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

constexpr std::string_view default_domain = "docker.io";
constexpr std::string_view official = "library/";
constexpr size_t name_limit = 255;  // domain and path together, as distribution has it

// alpha-numeric runs joined by one of `.`, `_`, `__` or any number of `-`.
bool is_path_component(std::string_view text) {
  size_t i = 0;
  const auto run = [&] {
    const size_t start = i;
    while (i < text.size() && (is_lower(text[i]) || is_digit(text[i]))) ++i;
    return i > start;
  };
  if (!run()) return false;
  while (i < text.size()) {
    if (text[i] == '-') {
      while (i < text.size() && text[i] == '-') ++i;
    } else if (text[i] == '.') {
      ++i;
    } else if (text[i] == '_') {
      i += i + 1 < text.size() && text[i + 1] == '_' ? size_t{2} : size_t{1};
    } else {
      return false;
    }
    if (!run()) return false;
  }
  return true;
}

bool is_host_label(std::string_view text) {
  return !text.empty() && is_alnum(text.front()) && is_alnum(text.back()) &&
         std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '-'; });
}

// host[:port], the host being dotted labels or a bracketed IPv6 address without a zone.
bool is_domain(std::string_view text) {
  std::string_view host = text, port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == text.npos) return false;
    const std::string_view address = text.substr(1, end - 1);
    if (address.size() < 2 || address.find(':') == address.npos ||
        !std::ranges::all_of(address, [](char c) { return is_hex(c) || c == ':'; }))
      return false;
    host = {};
    text.remove_prefix(end + 1);
    if (!text.empty()) {
      if (text[0] != ':') return false;
      has_port = true;
      port = text.substr(1);
    }
  } else {
    const size_t colon = text.find(':');
    if (colon != text.npos) {
      has_port = true;
      host = text.substr(0, colon);
      port = text.substr(colon + 1);
    }
    for (bool more = true; more;) {
      const size_t dot = host.find('.');
      more = dot != host.npos;
      if (!is_host_label(host.substr(0, dot))) return false;
      if (more) host.remove_prefix(dot + 1);
    }
  }
  return !has_port || (!port.empty() && port.size() <= 5 && std::ranges::all_of(port, is_digit));
}

}  // namespace

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > 128) return false;
  if (!is_alnum(text[0]) && text[0] != '_') return false;
  return std::ranges::all_of(
      text, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

std::expected<Reference, std::string> parse_reference(std::string_view text) {
  using Wrong = std::unexpected<std::string>;
  if (text.empty()) return Wrong("is empty");
  if (text.size() > name_limit + 1 + 128 + 1 + 7 + 128) return Wrong("is too long");
  // An image id must never be mistaken for a name (and then be pulled from somewhere).
  if (text.size() == 64 &&
      std::ranges::all_of(text, [](char c) { return is_hex(c) && !is_upper(c); }))
    return Wrong("is 64 hex digits, which is an image id and no name");

  Reference result;
  std::string_view rest = text;
  if (const size_t at = rest.find('@'); at != rest.npos) {
    auto digest = oci::Digest::parse(rest.substr(at + 1));
    if (!digest) return Wrong("has a malformed digest: " + digest.error());
    result.digest = std::move(*digest);
    rest = rest.substr(0, at);
  }
  const size_t slash = rest.find('/');
  const std::string_view first = rest.substr(0, slash);
  // Docker's rule for what a first component is: a host only if it could not be a path component
  // of the default registry.
  const bool has_domain =
      slash != rest.npos && (first.find_first_of(".:[") != first.npos || first == "localhost" ||
                             std::ranges::any_of(first, is_upper));
  if (has_domain) {
    if (!is_domain(first)) return Wrong("has a malformed host '" + std::string(first) + "'");
    result.domain = first == "index.docker.io" ? default_domain : first;
    rest.remove_prefix(slash + 1);
  } else {
    result.domain = default_domain;
  }
  if (const size_t colon = rest.rfind(':'); colon != rest.npos) {
    const std::string_view tag = rest.substr(colon + 1);
    if (!is_tag(tag))
      return Wrong("has a malformed tag '" + std::string(tag) +
                   "', expected at most 128 of A-Z a-z 0-9 _ . - not starting with . or -");
    result.tag = tag;
    rest = rest.substr(0, colon);
  }
  result.path = rest;
  for (bool more = true; more;) {
    const size_t next = rest.find('/');
    more = next != rest.npos;
    const std::string_view component = rest.substr(0, next);
    if (!is_path_component(component)) {
      if (std::ranges::any_of(component, is_upper))
        return Wrong("has upper-case letters in '" + std::string(component) +
                     "', a repository name is lower case");
      return Wrong("has a malformed name component '" + std::string(component) +
                   "', expected a-z 0-9 joined by . _ __ or -");
    }
    if (more) rest.remove_prefix(next + 1);
  }
  if (result.domain == default_domain && result.path.find('/') == std::string::npos)
    result.path.insert(0, official);
  if (result.domain.size() + 1 + result.path.size() > name_limit)
    return Wrong("has a name of more than 255 characters");
  return result;
}

Reference with_default_tag(Reference reference) {
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

Reference require_reference(std::string_view text) {
  auto parsed = parse_reference(text);
  if (!parsed) throw Error("reference '" + std::string(text) + "' " + parsed.error());
  return with_default_tag(std::move(*parsed));
}

std::string Reference::familiar_name() const {
  if (domain != default_domain) return name();
  std::string_view shown = path;
  if (shown.starts_with(official) && shown.find('/', official.size()) == shown.npos)
    shown.remove_prefix(official.size());
  return std::string(shown);
}

namespace {

std::string decorated(std::string text, const Reference& r) {
  if (!r.tag.empty()) text += ":" + r.tag;
  if (!r.digest.empty()) text += "@" + r.digest.text();
  return text;
}

}  // namespace

std::string Reference::text() const {
  return decorated(name(), *this);
}

std::string Reference::familiar() const {
  return decorated(familiar_name(), *this);
}

}  // namespace kiln
