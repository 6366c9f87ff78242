#include "builder/cli/build_request.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "builder/dockerfile/characters.hh"
#include "builder/store/image.hh"
#include "builder/sys/file.hh"

namespace kiln::cli {

namespace {

using Pair = std::pair<std::string, std::string>;

Pair split(const std::string& text, char at) {
  const size_t i = text.find(at);
  return i == std::string::npos ? Pair{text, ""} : Pair{text.substr(0, i), text.substr(i + 1)};
}

// "type=oci,dest=x,…" as key and value; a value may be quoted as in CSV.
std::vector<Pair> fields(const std::string& text, std::string_view option) {
  std::vector<Pair> out;
  std::string field;
  bool quoted = false;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '"') {
      quoted = !quoted;
    } else if (i == text.size() || (text[i] == ',' && !quoted)) {
      if (field.empty()) throw UsageError(std::string(option) + " '" + text + "': empty field");
      out.push_back(split(field, '='));
      field.clear();
    } else {
      field += text[i];
    }
  }
  return out;
}

// NAME=VALUE, or NAME alone for the environment's value; nullopt when that is unset.
std::optional<Pair> from_environment(const std::string& text) {
  if (text.find('=') != std::string::npos) return split(text, '=');
  const char* value = getenv(text.c_str());
  return value == nullptr ? std::nullopt : std::optional(Pair{text, value});
}

void read_secret(const std::string& text, solve::BuildRequest& request) {
  std::string id, source, variable;
  for (const auto& [key, value] : fields(text, "--secret")) {
    if (key == "id")
      id = value;
    else if (key == "src" || key == "source")
      source = value;
    else if (key == "env")
      variable = value;
    else if (key != "type" || (value != "file" && value != "env"))
      throw UsageError("--secret: unknown field " + key + ", expected id, src, env or type");
  }
  if (id.empty()) throw UsageError("--secret needs id=");
  if (!source.empty() && !variable.empty())
    throw UsageError("--secret " + id + ": src and env exclude each other");
  // As docker: an id alone is the variable of that name, else the file.
  if (source.empty() && variable.empty()) {
    if (getenv(id.c_str()) != nullptr)
      variable = id;
    else
      source = id;
  }
  if (!source.empty() && access(source.c_str(), R_OK) != 0)
    throw UsageError("--secret " + id + ": cannot read " + source);
  request.mount_sources.secrets[id] = {source, variable};
}

void read_ssh(const std::string& text, solve::BuildRequest& request) {
  auto [id, socket] = split(text, '=');
  if (socket.empty()) {
    const char* agent = getenv("SSH_AUTH_SOCK");
    if (agent == nullptr)
      throw UsageError("--ssh " + id + ": SSH_AUTH_SOCK is not set; start ssh-agent, or give " +
                       id + "=SOCKET");
    socket = agent;
  }
  std::error_code ec;
  if (!std::filesystem::is_socket(socket, ec))
    throw UsageError("--ssh " + id + ": " + socket +
                     " is no socket; a key has to be loaded into an agent (ssh-add)");
  request.mount_sources.ssh_sockets[id] = std::filesystem::absolute(socket);
}

void read_ulimit(const std::string& text, solve::BuildRequest& request) {
  static constexpr std::string_view names[] = {
      "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
      "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
  const auto [name, values] = split(text, '=');
  if (std::ranges::find(names, name) == std::end(names) || values.empty())
    throw UsageError("--ulimit '" + text + "': expected NAME=SOFT[:HARD], like nofile=1024:2048");
  const auto [soft, hard] = split(values, ':');
  const auto limit = [&](const std::string& value) {
    const int64_t n = parse_number(value, "--ulimit " + name, -1);
    return n < 0 ? UINT64_MAX : static_cast<uint64_t>(n);
  };
  oci::Rlimit rlimit;
  rlimit.type = "RLIMIT_";
  for (char c : name) rlimit.type += static_cast<char>(c - 'a' + 'A');
  rlimit.soft = limit(soft);
  rlimit.hard = hard.empty() ? rlimit.soft : limit(hard);
  request.rlimits.push_back(rlimit);
}

stage::Inputs read_inputs(const Arguments& arguments,
                          const std::map<std::string, std::string>& contexts) {
  stage::Inputs inputs;
  for (const std::string& text : arguments.values("build-arg"))
    if (const auto pair = from_environment(text)) inputs.build_args[pair->first] = pair->second;
  inputs.target = arguments.text("target");
  inputs.build_platform = host_platform();
  inputs.target_platform = inputs.build_platform;
  if (const auto text = arguments.value("platform")) {
    if (text->find(',') != std::string::npos)
      throw UsageError("--platform " + *text + ": one platform a build; build each under a tag");
    const auto platform = oci::parse_platform(*text);
    if (!platform) throw UsageError("--platform " + *text + ": expected OS/ARCH[/VARIANT]");
    inputs.target_platform = *platform;
  }
  inputs.has_context = [contexts](const std::string& name) { return contexts.contains(name); };
  return inputs;
}

std::optional<int64_t> read_epoch(const Arguments& arguments, const stage::Inputs& inputs) {
  std::optional<std::string> text = arguments.value("timestamp");
  std::string what = "--timestamp";
  if (!text) {
    what = "SOURCE_DATE_EPOCH";
    const auto argument = inputs.build_args.find(what);
    if (argument != inputs.build_args.end())
      text = argument->second;
    else if (const char* value = getenv("SOURCE_DATE_EPOCH"))
      text = value;
  }
  if (!text || text->empty()) return std::nullopt;
  return parse_number(*text, what, 0, int64_t{1} << 40);
}

Compression compression_named(const std::string& name, std::string_view option) {
  if (name == "gzip") return Compression::gzip;
  if (name == "zstd") return Compression::zstd;
  if (name == "uncompressed" || name == "none") return Compression::none;
  throw UsageError(std::string(option) + ": '" + name + "', expected gzip, zstd or uncompressed");
}

}  // namespace

solve::BuildRequest build_request(const Arguments& arguments) {
  solve::BuildRequest request;
  for (const std::string& text : arguments.values("build-context")) {
    const auto [name, where] = split(text, '=');
    if (name.empty() || where.empty())
      throw UsageError("--build-context '" + text + "': expected NAME=WHERE");
    request.build_contexts[name] = where;
  }
  request.inputs = read_inputs(arguments, request.build_contexts);
  request.no_cache = arguments.has("no-cache");
  for (const std::string& stages : arguments.values("no-cache-filter"))
    for (const auto& [name, unused] : fields(stages, "--no-cache-filter"))
      request.no_cache_filter.insert(dockerfile::lower(name));  // as names of stages are
  const std::string pull = arguments.text("pull");
  request.pull = pull == "always"  ? solve::PullPolicy::always
                 : pull == "never" ? solve::PullPolicy::never
                                   : solve::PullPolicy::missing;
  for (const std::string& text : arguments.values("secret")) read_secret(text, request);
  for (const std::string& text : arguments.values("ssh")) read_ssh(text, request);
  for (const std::string& text : arguments.values("ulimit")) read_ulimit(text, request);
  for (const std::string& text : arguments.values("add-host")) {
    std::string host = text;
    if (const size_t equals = host.find('='); equals != std::string::npos) host[equals] = ':';
    if (host.find(':') == std::string::npos || host.ends_with(':'))
      throw UsageError("--add-host '" + text + "': expected NAME:IP");
    request.extra_hosts.push_back(host);
  }
  for (const std::string& text : arguments.values("allow")) {
    if (text == "security.insecure")
      request.allow_insecure = true;
    else if (text != "network.host")
      throw UsageError("--allow '" + text + "': expected network.host or security.insecure");
  }
  if (arguments.text("network") == "none") request.network = StepNetwork::none;
  if (arguments.text("network") == "pasta") request.network = StepNetwork::pasta;
  if (const auto size = arguments.value("shm-size"))
    request.shm_size = parse_size(*size, "--shm-size");
  if (const auto size = arguments.value("memory")) request.memory = parse_size(*size, "--memory");
  if (const auto size = arguments.value("memory-swap"))
    request.memory_swap = *size == "-1" ? -1 : parse_size(*size, "--memory-swap");
  request.runtime = arguments.text("runtime");
  request.explain = arguments.has("explain");
  if (const auto jobs = arguments.value("jobs"))
    request.jobs = static_cast<unsigned>(parse_number(*jobs, "--jobs", 1, 1024));
  request.preserve_xattrs = arguments.has("preserve-xattrs");
  request.no_memo = arguments.has("no-memo");
  const std::string isolation = arguments.text("isolation");
  request.isolation = isolation == "chroot"     ? Isolation::chroot
                      : isolation == "in-place" ? Isolation::in_place
                                                : Isolation::runtime;
  // What has to be moved into place and out again cannot be on another filesystem.
  request.copy_snapshots =
      arguments.text("snapshotter") == "copy" || request.isolation != Isolation::runtime;
  request.compression = compression_named(arguments.text("compression"), "--compression");
  request.epoch = read_epoch(arguments, request.inputs);
  // A stage that declares the ARG sees it, wherever it comes from.
  if (request.epoch)
    request.inputs.build_args["SOURCE_DATE_EPOCH"] = std::to_string(*request.epoch);
  return request;
}

Compression build_compression(const Arguments& arguments) {
  std::optional<Compression> wanted;
  if (arguments.has("compression"))
    wanted = compression_named(arguments.text("compression"), "--compression");
  for (const std::string& text : arguments.values("output"))
    for (const auto& [key, value] : fields(text, "--output")) {
      if (key != "compression") continue;
      const Compression named = compression_named(value, "--output compression");
      if (wanted && *wanted != named)
        throw UsageError("--output compression=" + value +
                         ": another one is asked for, too, and the layers of a build have one");
      wanted = named;
    }
  return wanted.value_or(Compression::gzip);
}

std::vector<BuildOutput> build_outputs(const Arguments& arguments) {
  std::vector<BuildOutput> outputs;
  for (const std::string& text : arguments.values("output")) {
    BuildOutput output;
    if (text.find('=') == std::string::npos) {
      // As docker: "-" is a tar on standard output, a path a directory of files.
      output.type = text == "-" ? BuildOutput::Type::tar : BuildOutput::Type::local;
      output.destination = text;
      outputs.push_back(output);
      continue;
    }
    for (const auto& [key, value] : fields(text, "--output")) {
      if (key == "type") {
        if (value == "image")
          output.type = BuildOutput::Type::image;
        else if (value == "oci")
          output.type = BuildOutput::Type::oci;
        else if (value == "docker")
          output.type = BuildOutput::Type::docker;
        else if (value == "tar")
          output.type = BuildOutput::Type::tar;
        else if (value == "local")
          output.type = BuildOutput::Type::local;
        else if (value == "registry")
          output.push = true;
        else
          throw UsageError("--output type=" + value +
                           ": expected image, registry, oci, docker, tar or local");
      } else if (key == "dest") {
        output.destination = value;
      } else if (key == "name") {
        output.names.push_back(value);
      } else if (key == "push") {
        output.push = value == "true";
      } else if (key == "tar") {
        output.as_tar = value != "false";
      } else if (key == "compression") {
        continue;  // build_compression()
      } else {
        throw UsageError("--output: unknown field " + key +
                         ", expected type, dest, name, push, tar or compression");
      }
    }
    const bool to_file = output.type != BuildOutput::Type::image;
    if (to_file && output.destination.empty()) {
      if (output.type == BuildOutput::Type::local)
        throw UsageError("--output type=local needs dest=DIRECTORY");
      output.destination = "-";
    }
    outputs.push_back(output);
  }
  if (arguments.has("push") && outputs.empty()) outputs.emplace_back();
  for (BuildOutput& o : outputs)
    if (arguments.has("push") && o.type == BuildOutput::Type::image) o.push = true;
  return outputs;
}

solve::ResultOptions result_options(const Arguments& arguments) {
  solve::ResultOptions options;
  for (const std::string& text : arguments.values("label")) {
    const auto [name, value] = split(text, '=');
    options.labels[name] = value;
  }
  for (const std::string& text : arguments.values("annotation")) {
    const auto [name, value] = split(text, '=');
    if (name.empty()) throw UsageError("--annotation '" + text + "': expected NAME=VALUE");
    options.annotations[name] = value;
  }
  options.squash = arguments.has("squash");
  return options;
}

}  // namespace kiln::cli
