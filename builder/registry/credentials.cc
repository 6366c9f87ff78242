#include "builder/registry/credentials.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "builder/registry/answer.hh"
#include "builder/registry/credential_helper.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

using Json = nlohmann::ordered_json;  // what others wrote stays in their order

constexpr size_t file_limit = size_t{4} << 20;
// What Docker calls its own registry in config.json, whatever host it talks to.
constexpr std::string_view docker_key = "https://index.docker.io/v1/";

bool is_docker(std::string_view host) {
  return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io";
}

std::string environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

std::string docker_file() {
  if (const std::string own = environment("DOCKER_CONFIG"); !own.empty())
    return own + "/config.json";
  const std::string home = environment("HOME");
  return home.empty() ? "" : home + "/.docker/config.json";
}

std::optional<Json> read_config(const std::string& file) {
  const auto text = try_read_file_at(AT_FDCWD, file, file_limit);
  if (!text || text->find_first_not_of(" \t\r\n") == std::string::npos) return std::nullopt;
  // The parser's own message would quote the file, and with it secrets.
  Json json = Json::parse(*text, nullptr, false);
  if (!json.is_object()) throw Error(file + ": is no JSON object");
  return json;
}

std::string text_of(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::optional<std::string> base64_decoded(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    uint32_t value;
    if (c >= 'A' && c <= 'Z')
      value = static_cast<uint32_t>(c - 'A');
    else if (c >= 'a' && c <= 'z')
      value = static_cast<uint32_t>(c - 'a') + 26;
    else if (c >= '0' && c <= '9')
      value = static_cast<uint32_t>(c - '0') + 52;
    else if (c == '+')
      value = 62;
    else if (c == '/')
      value = 63;
    else
      return std::nullopt;
    bits = bits << 6 | value;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 255);
    }
  }
  return out;
}

// "https://host/v2/" and the like, as old clients wrote their keys.
std::string_view bare_key(std::string_view key) {
  if (key.starts_with("https://")) key.remove_prefix(8);
  if (key.starts_with("http://")) key.remove_prefix(7);
  while (key.ends_with('/')) key.remove_suffix(1);
  if (key.ends_with("/v1") || key.ends_with("/v2")) key.remove_suffix(3);
  return key;
}

// How well a key fits: 0 not at all, else the longer the better.
size_t fit(std::string_view key, std::string_view host, std::string_view path) {
  if (is_docker(host) && key == docker_key) return 1;
  const std::string_view bare = bare_key(key);
  const std::string_view key_host = bare.substr(0, bare.find('/'));
  if (key_host != host && !(is_docker(host) && is_docker(key_host))) return 0;
  const std::string_view key_path =
      key_host.size() < bare.size() ? bare.substr(key_host.size() + 1) : std::string_view();
  if (key_path.empty()) return 1;
  const bool below = path.starts_with(key_path) &&
                     (path.size() == key_path.size() || path[key_path.size()] == '/');
  return below ? 1 + key_path.size() : 0;
}

std::optional<Credentials> read_entry(const Json& entry, const std::string& where) {
  Credentials result;
  result.identity_token = Secret(text_of(entry, "identitytoken"));
  result.user = text_of(entry, "username");
  result.password = Secret(text_of(entry, "password"));
  if (const std::string encoded = text_of(entry, "auth"); !encoded.empty()) {
    const auto pair = base64_decoded(encoded);
    const size_t colon = pair ? pair->find(':') : std::string::npos;
    if (colon == std::string::npos) throw Error(where + ": 'auth' is no base64 of USER:PASSWORD");
    result.user = pair->substr(0, colon);
    std::string password = pair->substr(colon + 1);
    while (password.ends_with('\0')) password.pop_back();
    result.password = Secret(std::move(password));
  }
  if (result.empty()) return std::nullopt;
  return result;
}

// The helper that a file names for a host; "" for none.
std::string helper_of(const Json& config, std::string_view host) {
  if (const auto it = config.find("credHelpers"); it != config.end() && it->is_object())
    for (const auto& [key, value] : it->items())
      if (value.is_string() && fit(key, host, "") > 0) return value.get<std::string>();
  return text_of(config, "credsStore");
}

std::string key_of(std::string_view host) {
  return is_docker(host) ? std::string(docker_key) : std::string(host);
}

std::optional<Credentials> from_file(const Json& config, std::string_view host,
                                     std::string_view path, const std::string& file) {
  if (const std::string helper = helper_of(config, host); !helper.empty())
    if (auto found = ask_helper(helper, key_of(host))) return found;
  const auto auths = config.find("auths");
  if (auths == config.end() || !auths->is_object()) return std::nullopt;
  std::optional<Credentials> best;
  size_t best_fit = 0;
  for (const auto& [key, entry] : auths->items()) {
    const size_t f = fit(key, host, path);
    if (f <= best_fit || !entry.is_object()) continue;
    auto read = read_entry(entry, file + ": auths." + key);
    if (!read) continue;
    best = std::move(read);
    best_fit = f;
  }
  return best;
}

// Changes a file under a lock, so that two logins at once lose nothing.
void change_config(const std::string& file, const std::function<void(Json&)>& change) {
  const std::filesystem::path path = std::filesystem::absolute(file);
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  const Fd directory(open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) throw SysError("open " + path.parent_path().string());
  while (flock(directory.get(), LOCK_EX) != 0)
    if (errno != EINTR) throw SysError("lock " + path.parent_path().string());
  Json config = read_config(file).value_or(Json::object());
  change(config);
  // A link (dotfiles kept elsewhere) stays one: what it names is replaced.
  const auto real = std::filesystem::weakly_canonical(path, error);
  write_file_atomic(AT_FDCWD, error ? path.string() : real.string(), config.dump(2) + "\n", 0600,
                    Sync::data);
}

}  // namespace

std::vector<std::string> credential_files(const std::string& file) {
  if (!file.empty()) return {file};
  if (const std::string own = environment("REGISTRY_AUTH_FILE"); !own.empty()) return {own};
  std::vector<std::string> files;
  if (const std::string runtime = environment("XDG_RUNTIME_DIR"); !runtime.empty())
    files.push_back(runtime + "/containers/auth.json");
  if (std::string docker = docker_file(); !docker.empty()) files.push_back(std::move(docker));
  return files;
}

std::optional<Credentials> find_credentials(std::string_view host, std::string_view path,
                                            const std::string& file) {
  for (const std::string& candidate : credential_files(file)) {
    const auto config = read_config(candidate);
    if (!config) continue;
    if (auto found = from_file(*config, host, path, candidate)) return found;
  }
  return std::nullopt;
}

std::string login_file(const std::string& file) {
  if (!file.empty()) return file;
  if (std::string own = environment("REGISTRY_AUTH_FILE"); !own.empty()) return own;
  std::string docker = docker_file();
  if (docker.empty())
    throw Error("no place for credentials: neither DOCKER_CONFIG nor HOME is set");
  return docker;
}

std::string store_credentials(const std::string& file, std::string_view host,
                              const Credentials& credentials) {
  if (const auto config = read_config(file))
    if (const std::string helper = helper_of(*config, host); !helper.empty()) {
      tell_helper(helper, key_of(host), credentials);
      return helper;
    }
  change_config(file, [&](Json& config) {
    Json entry = Json::object();
    if (!credentials.identity_token.empty())
      entry["identitytoken"] = credentials.identity_token.reveal();
    else
      entry["auth"] = base64_encoded(credentials.user + ":" + credentials.password.reveal());
    config["auths"][key_of(host)] = std::move(entry);
  });
  return "";
}

bool erase_credentials(const std::string& file, std::string_view host) {
  const auto config = read_config(file);
  if (!config) return false;
  bool erased = false;
  if (const std::string helper = helper_of(*config, host); !helper.empty())
    erased = helper_forgets(helper, key_of(host));
  const auto known = config->find("auths");
  if (known == config->end() || !known->is_object()) return erased;
  if (std::ranges::none_of(known->items(),
                           [&](const auto& item) { return fit(item.key(), host, "") > 0; }))
    return erased;
  change_config(file, [&](Json& changed) {
    Json kept = Json::object();
    for (const auto& [key, entry] : changed["auths"].items())
      if (fit(key, host, "") == 0) kept[key] = entry;
    changed["auths"] = std::move(kept);
  });
  return true;
}

size_t erase_all_credentials(const std::string& file) {
  const auto config = read_config(file);
  if (!config || !config->contains("auths")) return 0;
  size_t count = 0;
  change_config(file, [&](Json& changed) {
    count = changed["auths"].size();
    changed["auths"] = Json::object();
  });
  return count;
}

}  // namespace kiln
