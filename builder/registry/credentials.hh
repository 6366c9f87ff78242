// Owns: who one is to a registry: reading and writing Docker's config.json and containers'
// auth.json, and asking credential helpers. Does not own: what registries are sent (session.hh).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/sys/secret.hh"

namespace kiln {

struct Credentials {
  std::string user;
  Secret password;
  Secret identity_token;  // an OAuth2 refresh token, then the other two count for nothing

  bool empty() const { return password.empty() && identity_token.empty(); }
};

// For `host` ("registry.example:5000", "docker.io" and its other names being one) and the
// repository `path` there, whose longest configured prefix counts ("" for the host alone). Files,
// the first that knows the host: `file` if not empty, alone; else $REGISTRY_AUTH_FILE alone; else
// $XDG_RUNTIME_DIR/containers/auth.json, $DOCKER_CONFIG/config.json, else ~/.docker/config.json.
// nullopt when nobody knows any. Throws Error when a file is malformed or a helper fails.
std::optional<Credentials> find_credentials(std::string_view host, std::string_view path,
                                            const std::string& file = {});

// The files of the last sentence but one that this process would ask, whether they are there or
// not.
std::vector<std::string> credential_files(const std::string& file = {});

// Where login writes: `file`, else $REGISTRY_AUTH_FILE, else Docker's config.json.
std::string login_file(const std::string& file);

// Into the helper that the file names for `host`, else into the file, which has mode 0600
// afterwards; the rest of it stays as it was. Returns the helper's name, "" for the file.
std::string store_credentials(const std::string& file, std::string_view host,
                              const Credentials& credentials);
// False when there was nothing.
bool erase_credentials(const std::string& file, std::string_view host);
// All that the file itself holds; how many.
size_t erase_all_credentials(const std::string& file);

}  // namespace kiln
