// Owns: kiln's own configuration of registries: mirrors, rewritten names, insecure and blocked
// hosts, authorities, limits (kiln-registries(5)). Does not own: credentials (credentials.hh).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "builder/registry/http.hh"
#include "builder/registry/reference.hh"

namespace kiln {

// Where a repository is looked for.
struct Endpoint {
  std::string host;  // "registry.example:5000", as credentials and certs.d know it
  std::string path;  // of the repository there
  bool insecure = false;
  bool plain_first = false;  // "http://" was written
  TlsSettings tls;

  bool operator==(const Endpoint&) const = default;
};

struct Registries {
  struct Mirror {
    std::string of;  // a registry or a prefix of names in it: "docker.io", "docker.io/library"
    std::string at;  // [http://]host[:port][/path]
  };

  std::vector<Mirror> mirrors;
  std::vector<std::pair<std::string, std::string>> rewrites;  // prefix, replacement; both complete
  std::vector<std::string> insecure;                          // hosts, "*.domain"
  std::vector<std::string> blocked;                           // hosts or prefixes of names
  std::map<std::string, std::string> authorities;             // host → PEM file
  HttpLimits limits;
  unsigned parallel = 6;      // blobs at once
  bool insecure_all = false;  // --insecure of this command

  // Where `name` (without tag) is read from, mirrors first; and the one place that it is written
  // to. Throw Error when it is blocked.
  std::vector<Endpoint> sources(const Reference& name) const;
  Endpoint destination(const Reference& name) const;
  // The endpoint of a bare registry: "docker.io", "host:port".
  Endpoint endpoint(std::string_view host) const;
};

// Adds what `text` says; `file` and the line are named in the Error.
void read_registries(Registries& registries, std::string_view text, const std::string& file);

// $KILN_REGISTRIES alone, or /etc/kiln/registries.conf and then
// $XDG_CONFIG_HOME/kiln/registries.conf; those that are missing are empty.
Registries load_registries();

}  // namespace kiln
