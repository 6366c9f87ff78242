// Owns: finding the certificates that a registry needs in directories laid out as Docker's certs.d.
// Does not own: checking them (libcurl does).
#pragma once

#include <string>

#include "builder/registry/http.hh"

namespace kiln {

// From HOST[:PORT] in, each adding to the ones before: /etc/docker/certs.d,
// /etc/containers/certs.d, /etc/kiln/certs.d, and the user's containers/certs.d and kiln/certs.d.
// *.crt are authorities, NAME.cert with NAME.key is for client authentication. Throws Error when a
// file is there and cannot be read.
TlsSettings find_certificates(const std::string& host);

// $XDG_CONFIG_HOME, else ~/.config; "" without a home.
std::string user_configuration();

}  // namespace kiln
