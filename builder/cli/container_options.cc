#include "builder/cli/container_options.hh"

#include <fcntl.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

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

}  // namespace

ContainerOptions container_options(const Arguments& arguments, std::vector<std::string> args) {
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
  for (const std::string& text : arguments.values("volume")) {
    BindVolume volume = parse_volume(text);
    if (!volume.source.starts_with('/'))
      throw UsageError("--volume " + text +
                       ": named volumes are not available here, give a path "
                       "that starts with / or ./");
    o.volumes.push_back(std::move(volume));
  }
  o.tmpfs = arguments.values("tmpfs");
  o.read_only = arguments.has("read-only");
  o.tty = arguments.has("tty");
  o.network = arguments.text("network") == "host" ? BundleNetwork::host : BundleNetwork::own;
  if (const auto size = arguments.value("memory")) o.memory = parse_size(*size, "--memory");
  if (const auto cpus = arguments.value("cpus")) o.cpu_quota = cpu_quota(*cpus);
  if (const auto pids = arguments.value("pids-limit"))
    o.pids_limit = parse_number(*pids, "--pids-limit", -1);
  o.cap_add = arguments.values("cap-add");
  o.cap_drop = arguments.values("cap-drop");
  return o;
}

}  // namespace kiln::cli
