#include "builder/registry/certificates.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "builder/sys/file.hh"

namespace kiln {

namespace {

constexpr size_t certificate_limit = size_t{4} << 20;

void add_directory(TlsSettings& tls, const std::string& directory) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(directory, error))
    names.push_back(item.path().filename());
  std::ranges::sort(names);
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    if (name.ends_with(".crt")) {
      tls.authorities += read_file_at(AT_FDCWD, path, certificate_limit) + "\n";
    } else if (name.ends_with(".cert")) {
      const std::string key = path.substr(0, path.size() - 5) + ".key";
      if (access(key.c_str(), R_OK) != 0)
        throw Error(path + " has no readable key beside it: " + key);
      tls.certificate = path;
      tls.key = key;
    }
  }
}

}  // namespace

std::string user_configuration() {
  const char* own = getenv("XDG_CONFIG_HOME");
  if (own != nullptr && *own == '/') return own;
  const char* home = getenv("HOME");
  return home != nullptr && *home == '/' ? std::string(home) + "/.config" : std::string();
}

TlsSettings find_certificates(const std::string& host) {
  TlsSettings tls;
  // `host` is from a checked reference or our own configuration: no '/', and not "..".
  if (host.empty() || host.find('/') != host.npos || host == "." || host == "..") return tls;
  std::vector<std::string> parents = {"/etc/docker/certs.d", "/etc/containers/certs.d",
                                      "/etc/kiln/certs.d"};
  if (const std::string user = user_configuration(); !user.empty()) {
    parents.push_back(user + "/containers/certs.d");
    parents.push_back(user + "/kiln/certs.d");
  }
  for (const std::string& parent : parents) add_directory(tls, parent + "/" + host);
  return tls;
}

}  // namespace kiln
