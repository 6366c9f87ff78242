#include "builder/registry/registries.hh"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "builder/registry/certificates.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr size_t registries_limit = size_t{1} << 20;
// The registry that has docker.io's images answers under another name.
constexpr std::string_view docker_domain = "docker.io";
constexpr std::string_view docker_host = "registry-1.docker.io";

std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  line = line.substr(0, line.find('#'));
  while (true) {
    const size_t start = line.find_first_not_of(" \t\r");
    if (start == line.npos) return words;
    line.remove_prefix(start);
    const size_t end = std::min(line.find_first_of(" \t\r"), line.size());
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

// Whether `name` is `prefix` or lies below it; a prefix that ends in '/' is a prefix as it stands.
bool lies_below(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return false;
  return name.size() == prefix.size() || prefix.ends_with('/') || name[prefix.size()] == '/';
}

bool matches_host(std::string_view host, std::string_view pattern) {
  if (pattern.starts_with("*.")) return host.ends_with(pattern.substr(1));
  return host == pattern;
}

// A prefix as people write it ("corp/", "node", "host:5000/a") as one of complete names.
std::string complete_prefix(const std::string& text) {
  const bool open = text.ends_with('/');
  const auto parsed = parse_reference(open ? text + "x" : text);
  if (!parsed) {
    // A bare host is a prefix too.
    const auto host = parse_reference(text + "/x");
    if (host && host->domain == text) return text;
    throw Error("'" + text + "' " + parsed.error());
  }
  if (!parsed->tag.empty() && text.find('/') == std::string::npos) return text;  // host:port
  if (!parsed->tag.empty() || !parsed->digest.empty())
    throw Error("'" + text + "' must have no tag or digest");
  if (!open && text.find('/') == std::string::npos && text.find('.') != std::string::npos)
    return text;  // a host without a port
  std::string name = parsed->name();
  if (open) name.pop_back();
  return name;
}

long number_of(const std::string& text, long least, long most) {
  const auto n = parse_number<long>(text);
  if (!n || *n < least || *n > most)
    throw Error("'" + text + "' is no number from " + std::to_string(least) + " to " +
                std::to_string(most));
  return *n;
}

void read_line(Registries& r, const std::vector<std::string>& words) {
  const std::string& what = words[0];
  const auto expect = [&](size_t n, std::string_view form) {
    if (words.size() != n) throw Error("expected " + std::string(form));
  };
  if (what == "mirror") {
    expect(3, "mirror REGISTRY[/PREFIX] [http://]HOST[:PORT][/PATH]");
    r.mirrors.push_back({words[1], words[2]});
  } else if (what == "rewrite") {
    expect(3, "rewrite PREFIX REPLACEMENT");
    r.rewrites.emplace_back(complete_prefix(words[1]), complete_prefix(words[2]));
  } else if (what == "insecure") {
    expect(2, "insecure HOST[:PORT]");
    r.insecure.push_back(words[1]);
  } else if (what == "blocked") {
    expect(2, "blocked HOST[:PORT][/PREFIX]");
    r.blocked.push_back(words[1]);
  } else if (what == "ca") {
    expect(3, "ca HOST[:PORT] FILE");
    r.authorities[words[1]] = words[2];
  } else if (what == "parallel") {
    expect(2, "parallel COUNT");
    r.parallel = static_cast<unsigned>(number_of(words[1], 1, 64));
  } else if (what == "stall") {
    expect(2, "stall SECONDS");
    r.limits.stall = number_of(words[1], 1, 3600);
  } else if (what == "connect") {
    expect(2, "connect SECONDS");
    r.limits.connect = number_of(words[1], 1, 3600);
  } else {
    throw Error("unknown word '" + what +
                "', expected mirror, rewrite, insecure, blocked, ca, parallel, stall or connect");
  }
}

}  // namespace

void read_registries(Registries& registries, std::string_view text, const std::string& file) {
  size_t number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = std::min(text.find('\n'), text.size());
    const auto words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.empty()) continue;
    try {
      read_line(registries, words);
    } catch (Error& error) {
      error.prepend(file + ":" + std::to_string(number));
      throw;
    }
  }
}

Registries load_registries() {
  Registries result;
  const auto read = [&](const std::string& file) {
    if (const auto text = try_read_file_at(AT_FDCWD, file, registries_limit))
      read_registries(result, *text, file);
  };
  if (const char* file = getenv("KILN_REGISTRIES"); file != nullptr && *file != '\0') {
    read_registries(result, read_file_at(AT_FDCWD, file, registries_limit), file);
    return result;
  }
  read("/etc/kiln/registries.conf");
  if (const std::string own = user_configuration(); !own.empty())
    read(own + "/kiln/registries.conf");
  return result;
}

Endpoint Registries::endpoint(std::string_view host) const {
  Endpoint e;
  e.host = host == docker_domain ? docker_host : host;
  e.insecure = insecure_all || std::ranges::any_of(insecure, [&](const std::string& pattern) {
                 return matches_host(host, pattern);
               });
  e.tls = find_certificates(e.host);
  e.tls.verify = !e.insecure;
  if (const auto own = authorities.find(std::string(host)); own != authorities.end())
    e.tls.authorities += read_file_at(AT_FDCWD, own->second, registries_limit);
  return e;
}

namespace {

void refuse_blocked(const Registries& r, const std::string& name) {
  for (const std::string& prefix : r.blocked)
    if (lies_below(name, prefix) || matches_host(name.substr(0, name.find('/')), prefix))
      throw Error("registry " + prefix + " is blocked by the configuration");
}

Reference rewritten(const Registries& r, const Reference& name) {
  const std::string full = name.name();
  const std::pair<std::string, std::string>* best = nullptr;
  for (const auto& rewrite : r.rewrites)
    if (lies_below(full, rewrite.first) && (!best || rewrite.first.size() > best->first.size()))
      best = &rewrite;
  if (best == nullptr) return name;
  const std::string_view rest = std::string_view(full).substr(best->first.size());
  std::string text = best->second;
  if (!rest.empty() && rest.front() == '/' && text.ends_with('/')) text.pop_back();
  if (!rest.empty() && rest.front() != '/' && !text.ends_with('/')) text += '/';
  text += rest;
  auto parsed = parse_reference(text);
  if (!parsed) throw Error("rewrite of " + full + " to '" + text + "' " + parsed.error());
  parsed->tag = name.tag;
  parsed->digest = name.digest;
  return *parsed;
}

}  // namespace

Endpoint Registries::destination(const Reference& name) const {
  const Reference real = rewritten(*this, name);
  refuse_blocked(*this, name.name());
  refuse_blocked(*this, real.name());
  Endpoint e = endpoint(real.domain);
  e.path = real.path;
  return e;
}

std::vector<Endpoint> Registries::sources(const Reference& name) const {
  std::vector<Endpoint> result;
  const Endpoint own = destination(name);
  const Reference real = rewritten(*this, name);
  const std::string full = real.name();
  for (const Mirror& mirror : mirrors) {
    if (!lies_below(full, mirror.of)) continue;
    std::string_view at = mirror.at;
    bool plain = false;
    if (at.starts_with("https://")) at.remove_prefix(8);
    if (at.starts_with("http://")) {
      at.remove_prefix(7);
      plain = true;
    }
    while (at.ends_with('/')) at.remove_suffix(1);
    const std::string host(at.substr(0, at.find('/')));
    std::string prefix = host.size() < at.size() ? std::string(at.substr(host.size() + 1)) : "";
    Endpoint e = endpoint(host);
    e.plain_first = plain;
    e.insecure = e.insecure || plain;
    // What lies below the mirrored prefix lies below the mirror's path.
    std::string_view rest = std::string_view(full).substr(mirror.of.size());
    if (rest.starts_with('/')) rest.remove_prefix(1);
    e.path = prefix + (prefix.empty() || rest.empty() ? "" : "/") + std::string(rest);
    refuse_blocked(*this, host + "/" + e.path);
    result.push_back(std::move(e));
  }
  result.push_back(own);
  return result;
}

}  // namespace kiln
