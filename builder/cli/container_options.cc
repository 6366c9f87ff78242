#include "builder/cli/container_options.hh"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "builder/steps/container_network.hh"
#include "builder/sys/file.hh"

namespace kiln::cli {

namespace {

// NAME=VALUE, or NAME alone: kiln's own value, nothing when it has none (as docker).
void add_env(std::vector<std::string>& env, const std::string& text, std::string_view what) {
  const std::string name = text.substr(0, text.find('='));
  if (name.empty() || name.find_first_of(" \t\n") != name.npos)
    throw UsageError(std::string(what) + ": '" + text + "' is no NAME=VALUE");
  if (text.size() > name.size())
    set_env(env, text);
  else if (const char* value = getenv(name.c_str()))
    set_env(env, name + "=" + value);
}

int64_t cpu_quota(std::string_view text) {
  double cpus = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), cpus, std::chars_format::fixed);
  // The kernel takes no quota below 1 ms in each period.
  if (error != std::errc() || end != text.data() + text.size() || !(cpus >= 0.01) || cpus > 65536)
    throw UsageError("--cpus: '" + std::string(text) + "' is no number from 0.01, like 1.5");
  return std::lround(cpus * 100'000);
}

void read_env_file(std::vector<std::string>& env, const std::string& file) {
  const Fd opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened) throw SysError("open --env-file " + file);
  const std::string text = read_fd(opened.get(), size_t{1} << 20, file);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (!line.empty() && line[0] != '#') add_env(env, line, "--env-file " + file);
  }
}

void set_network(ContainerOptions& o, const Arguments& arguments, std::string_view initial) {
  for (const std::string& text : arguments.values("publish"))
    for (PublishedPort& port : parse_published(text)) o.ports.push_back(std::move(port));
  const std::string kind =
      arguments.value("network").value_or(o.ports.empty() ? std::string(initial) : "default");
  if (kind == "default" || kind == "bridge" || kind == "pasta") {
    o.network = BundleNetwork::connected;
  } else if (kind == "host") {
    o.network = BundleNetwork::host;
  } else if (kind == "none" || kind == "own") {
    o.network = BundleNetwork::none;
  } else if (kind.starts_with("ns:/")) {
    o.network = BundleNetwork::joined;
    o.network_path = kind.substr(3);
    const Fd file(open(o.network_path.c_str(), O_PATH | O_CLOEXEC));
    if (!file) throw SysError("--network " + kind + ": open " + o.network_path);
  } else {
    throw UsageError("--network: '" + kind +
                     "' is unknown, expected default, host, none or ns:PATH");
  }
  if (!o.ports.empty() && o.network == BundleNetwork::host)
    throw UsageError("--publish: with --network host every port is the host's already");
  if (!o.ports.empty() && o.network != BundleNetwork::connected)
    throw UsageError("--publish: not with --network " + kind);
  if (o.network == BundleNetwork::connected) find_pasta();
  claim_ports(o.ports);
}

void set_security(ContainerOptions& o, const std::vector<std::string>& options) {
  for (const std::string& text : options) {
    const size_t sign = text.find_first_of("=:");
    const std::string name = text.substr(0, sign);
    const std::string value = sign == text.npos ? "" : text.substr(sign + 1);
    if (name == "no-new-privileges" && (value.empty() || value == "true" || value == "false"))
      o.no_new_privileges = value != "false";
    else if (text == "seccomp=unconfined")
      o.seccomp = false;
    else if (name == "apparmor" && !value.empty())
      o.apparmor_profile = value == "unconfined" ? "" : value;
    else
      throw UsageError("--security-opt: '" + text +
                       "' is unknown, expected no-new-privileges, seccomp=unconfined or "
                       "apparmor=PROFILE");
  }
}

// Inside the container the host's libraries are not there.
bool is_static_program(const std::string& path) {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  Elf64_Ehdr header{};
  if (!file || pread(file.get(), &header, sizeof header, 0) != sizeof header ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64)
    return false;
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    const auto at = static_cast<off_t>(header.e_phoff + uint64_t{i} * header.e_phentsize);
    if (pread(file.get(), &part, sizeof part, at) != sizeof part || part.p_type == PT_INTERP)
      return false;
  }
  return true;
}

std::string find_init() {
  for (const char* path : {"/usr/bin/tini-static", "/usr/bin/catatonit", "/usr/libexec/catatonit",
                           "/usr/bin/docker-init", "/usr/libexec/docker-init"})
    if (is_static_program(path)) return path;
  throw Error("--init needs tini-static or catatonit: install the package tini or catatonit");
}

}  // namespace

ContainerOptions container_options(const Arguments& arguments, std::vector<std::string> args,
                                   std::string_view network) {
  ContainerOptions o;
  for (const std::string& file : arguments.values("env-file")) read_env_file(o.env, file);
  for (const std::string& text : arguments.values("env")) add_env(o.env, text, "--env");
  if (const auto entrypoint = arguments.value("entrypoint")) {
    o.entrypoint.emplace();
    if (!entrypoint->empty()) o.entrypoint->push_back(*entrypoint);
  }
  o.args = std::move(args);
  o.user = arguments.text("user");
  o.workdir = arguments.text("workdir");
  o.hostname = arguments.text("hostname");
  o.tmpfs = arguments.values("tmpfs");
  for (const std::string& text : arguments.values("volume"))
    o.volumes.push_back(parse_volume(text));
  for (const std::string& text : arguments.values("mount")) add_mount_option(o, text);
  o.read_only = arguments.has("read-only");
  o.tty = arguments.has("tty");
  set_network(o, arguments, network);
  set_security(o, arguments.values("security-opt"));
  o.stop_signal = arguments.text("stop-signal");
  if (arguments.has("init")) o.init = find_init();
  if (const auto size = arguments.value("memory")) o.memory = parse_size(*size, "--memory");
  if (const auto cpus = arguments.value("cpus")) o.cpu_quota = cpu_quota(*cpus);
  if (const auto pids = arguments.value("pids-limit"))
    o.pids_limit = parse_number(*pids, "--pids-limit", -1);
  o.cap_add = arguments.values("cap-add");
  o.cap_drop = arguments.values("cap-drop");
  return o;
}

}  // namespace kiln::cli
