// Owns: image references as Docker reads and writes them (the grammar of distribution's
// `reference` package, short names included).
// Does not own: which registry, mirror or store entry a reference leads to.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "oci-spec/digest.hh"

namespace kiln {

// A complete reference: the registry's host is always there, "node" having become
// "docker.io/library/node". A tag and a digest may both be present; then the digest decides.
struct Reference {
  std::string domain;  // "docker.io", "host:5000", "[::1]:5000"
  std::string path;    // "library/node"
  std::string tag;     // empty when absent
  oci::Digest digest;  // empty when absent

  std::string name() const { return domain + "/" + path; }  // "docker.io/library/node"
  std::string text() const;                                 // name[:tag][@digest]
  std::string familiar() const;  // as Docker shows it: "node:20", "host:5000/a/b:t"
  std::string familiar_name() const;

  auto operator<=>(const Reference&) const = default;
};

// Reads a reference in any form that Docker accepts; the error says what is wrong with it.
// Nothing is filled in: see with_default_tag.
std::expected<Reference, std::string> parse_reference(std::string_view text);

// The same with the tag "latest" when there is neither a tag nor a digest.
Reference with_default_tag(Reference reference);

// Both in one, for command lines and Dockerfiles; throws Error ("reference 'X': …").
Reference require_reference(std::string_view text);

// Whether `text` is a tag: [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}.
bool is_tag(std::string_view text);

}  // namespace kiln
