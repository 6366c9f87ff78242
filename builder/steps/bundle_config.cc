#include "builder/steps/bundle_config.hh"

#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "builder/steps/container_defaults.hh"
#include "builder/steps/image_user.hh"
#include "builder/steps/isolation_user_namespace.hh"
#include "builder/steps/seccomp_profile.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln {

namespace {

constexpr std::string_view default_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int64_t cpu_period = 100'000;  // microseconds
constexpr size_t user_file_limit = size_t{1} << 20;

std::vector<oci::IdMapping> mappings(const std::vector<IdExtent>& extents) {
  std::vector<oci::IdMapping> out;
  for (const IdExtent& e : extents) out.push_back({e.inside, e.outside, e.count});
  return out;
}

// Defaults, with what this caller can have.
oci::Config defaults(BundleNetwork network) {
  oci::Config config = default_container();
  // Nothing here needs a newer version, and older runtimes refuse what they do not know.
  config.version = "1.0.2";
  config.root.emplace();
  config.root->path = "rootfs";
  oci::Linux& linux_part = *config.linux_;
  if (network != BundleNetwork::host && network != BundleNetwork::joined)
    linux_part.namespaces.push_back({"network", ""});
  // As Docker: a service that is not root may take port 80 of its own namespace.
  if (network == BundleNetwork::connected)
    linux_part.sysctl["net.ipv4.ip_unprivileged_port_start"] = "0";
  linux_part.resources.emplace();
  linux_part.resources->devices.push_back({.allow = false, .access = "rwm"});
  const UserNamespace& ours = user_namespace();
  if (geteuid() == 0 && !ours.entered()) return config;
  // The bundle is run by the person's own runtime, outside of the namespace that kiln is in: with
  // the same ids, so that the files have the owners that they were given.
  linux_part.namespaces.push_back({"user", ""});
  linux_part.uid_mappings = {{0, geteuid(), 1}};
  linux_part.gid_mappings = {{0, getegid(), 1}};
  if (ours.entered()) {
    linux_part.uid_mappings = mappings(ours.uids);
    linux_part.gid_mappings = mappings(ours.gids);
  }
  fit_to_user_namespace(config, ours.entered() ? mapped_ids() : 1);
  return config;
}

// The root's own files only, through the in-root resolver: regular and below 1 MiB
// (CVE-2024-9676).
ImageUser resolve_user(int root, const std::string& text) {
  const UserDatabase database{read_file_in_root(root, "/etc/passwd", user_file_limit),
                              read_file_in_root(root, "/etc/group", user_file_limit)};
  return look_up_user(text, database);
}

bool has_env(const std::vector<std::string>& env, std::string_view name) {
  return std::ranges::any_of(env, [&](std::string_view e) {
    return e.size() > name.size() && e.starts_with(name) && e[name.size()] == '=';
  });
}

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& item : list) text += (text.empty() ? "" : ",") + item;
  return text;
}

// Annotations are orders to a runtime: unit properties (org.systemd.property.), crun's and vessel's
// switches (run.oci.hooks.stdout names a file of the host that is written as root), CRIU's
// configuration file, another handler for the whole container. A label is written by whoever made
// the image, so none in such a namespace becomes one (containerd CVE-2026-53488).
bool steers_a_runtime(std::string_view key) {
  static constexpr std::string_view namespaces[] = {"org.systemd.property.",
                                                    "org.criu.",
                                                    "org.opencontainers.runc.",
                                                    "run.oci.",
                                                    "run.vessel.",
                                                    "module.wasm.",
                                                    "io.katacontainers.",
                                                    "dev.gvisor.",
                                                    "io.kubernetes.cri",
                                                    "io.podman.annotations.",
                                                    "io.containers.",
                                                    "com.github.containers."};
  return std::ranges::any_of(namespaces, [&](std::string_view n) { return key.starts_with(n); });
}

// conversion.md "Annotation Fields"; labels win over what is derived.
void annotate(const oci::ImageConfig& image, oci::Config& config) {
  const auto put = [&](const char* key, const std::string& value) {
    if (!value.empty()) config.annotations[key] = value;
  };
  put("org.opencontainers.image.os", image.os);
  put("org.opencontainers.image.architecture", image.architecture);
  put("org.opencontainers.image.variant", image.variant);
  put("org.opencontainers.image.os.version", image.os_version);
  put("org.opencontainers.image.os.features", joined(image.os_features));
  put("org.opencontainers.image.author", image.author);
  put("org.opencontainers.image.created", image.created);
  put("org.opencontainers.image.stopSignal", image.config.stop_signal);
  put("org.opencontainers.image.exposedPorts", joined(image.config.exposed_ports));
  // Docker's extension, for whoever runs checks: the object as the image's config has it.
  if (image.config.healthcheck) {
    const oci::Healthcheck& h = *image.config.healthcheck;
    put("run.vessel.healthcheck", nlohmann::json({{"Test", h.test},
                                                  {"Interval", h.interval},
                                                  {"Timeout", h.timeout},
                                                  {"StartPeriod", h.start_period},
                                                  {"StartInterval", h.start_interval},
                                                  {"Retries", h.retries}})
                                      .dump());
  }
  for (const auto& [key, value] : image.config.labels)
    if (!key.empty() && !steers_a_runtime(key)) config.annotations[key] = value;
}

std::vector<std::string> command(const oci::ImageConfig& image, const ContainerOptions& options) {
  std::vector<std::string> args;
  if (options.entrypoint)
    args = *options.entrypoint;
  else if (image.config.entrypoint)
    args = *image.config.entrypoint;
  // A new entrypoint does not get arguments that were meant for the image's (as docker run).
  if (!options.args.empty())
    args.insert(args.end(), options.args.begin(), options.args.end());
  else if (!options.entrypoint && image.config.cmd)
    args.insert(args.end(), image.config.cmd->begin(), image.config.cmd->end());
  if (args.empty()) throw Error("no command: the image has neither ENTRYPOINT nor CMD");
  return args;
}

void add_tmpfs(oci::Config& config, const std::string& text) {
  const size_t colon = text.find(':');
  oci::Mount mount;
  mount.destination = text.substr(0, colon);
  mount.type = mount.source = "tmpfs";
  mount.options = {"noexec", "nosuid", "nodev"};
  if (!mount.destination.starts_with('/'))
    throw Error("--tmpfs " + text + ": '" + mount.destination + "' is no absolute path");
  std::string_view rest =
      colon == text.npos ? std::string_view() : std::string_view(text).substr(colon + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(','), rest.size());
    const std::string option(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::string name = option.substr(0, option.find('='));
    static constexpr std::string_view values[] = {"size", "mode", "uid", "gid", "nr_inodes"};
    static constexpr std::string_view flags[] = {"ro",     "rw",  "exec",  "noexec", "suid",
                                                 "nosuid", "dev", "nodev", "noatime"};
    const bool valued = option.find('=') != option.npos;
    if (valued ? std::ranges::find(values, name) == std::end(values)
               : std::ranges::find(flags, name) == std::end(flags))
      throw Error("--tmpfs " + text + ": unknown option '" + option + "'");
    // "exec" takes the place of the default "noexec".
    std::erase(mount.options, "no" + option);
    if (std::ranges::find(mount.options, option) == mount.options.end())
      mount.options.push_back(option);
  }
  std::erase_if(config.mounts,
                [&](const oci::Mount& m) { return m.destination == mount.destination; });
  config.mounts.push_back(std::move(mount));
}

void add_volume(oci::Config& config, const BindVolume& volume) {
  oci::Mount mount;
  mount.destination = volume.destination;
  mount.type = "bind";
  mount.source = volume.source;
  mount.options = {"rbind", volume.propagation, volume.read_only ? "ro" : "rw"};
  std::erase_if(config.mounts,
                [&](const oci::Mount& m) { return m.destination == mount.destination; });
  config.mounts.push_back(std::move(mount));
}

// The program reaps orphans and passes signals on; it is given by the host, read-only.
void add_init(oci::Config& config, const std::string& program) {
  constexpr const char* inside = "/dev/.init";
  config.mounts.push_back({inside, "bind", program, {"bind", "ro", "rprivate", "nosuid"}, {}, {}});
  config.process->args.insert(config.process->args.begin(), {inside, "--"});
}

}  // namespace

void set_env(std::vector<std::string>& env, std::string_view assignment) {
  const std::string_view name = assignment.substr(0, assignment.find('='));
  for (std::string& entry : env)
    if (std::string_view(entry).substr(0, entry.find('=')) == name) {
      entry = assignment;
      return;
    }
  env.emplace_back(assignment);
}

oci::Config container_config(const oci::ImageConfig& image, const ContainerOptions& options,
                             int root) {
  if (image.os != "linux") throw Error("the image is for " + image.os + ", not for linux");
  oci::Config config = defaults(options.network);
  if (options.network == BundleNetwork::joined)
    config.linux_->namespaces.push_back({"network", options.network_path});
  oci::Process& process = *config.process;
  process.args = command(image, options);
  process.terminal = options.tty;
  process.cwd = !options.workdir.empty() ? options.workdir : image.config.working_dir;
  if (process.cwd.empty()) process.cwd = "/";
  if (!process.cwd.starts_with('/'))
    throw Error("working directory '" + process.cwd + "' is no absolute path");

  const std::string& who = options.user.empty() ? image.config.user : options.user;
  const ImageUser user = resolve_user(root, who);
  process.user.uid = user.uid;
  process.user.gid = user.gid;
  process.user.additional_gids = user.additional_gids;
  if (geteuid() != 0 || user_namespace().entered())
    fit_to_user_namespace(config, user_namespace().entered() ? mapped_ids() : 1);

  for (const std::string& entry : image.config.env)
    if (const size_t equals = entry.find('='); equals != entry.npos && equals > 0)
      set_env(process.env, entry);
  for (const std::string& entry : options.env) set_env(process.env, entry);
  if (!has_env(process.env, "PATH"))
    process.env.insert(process.env.begin(), std::string(default_path));
  if (options.tty && !has_env(process.env, "TERM")) process.env.emplace_back("TERM=xterm");
  if (!has_env(process.env, "HOME")) process.env.push_back("HOME=" + user.home);
  config.hostname = options.hostname;
  if (!options.hostname.empty() && !has_env(process.env, "HOSTNAME"))
    process.env.push_back("HOSTNAME=" + options.hostname);

  // Another user than root keeps the bounding set (for set-uid programs) and has nothing itself.
  const auto capabilities = container_capabilities(options.cap_add, options.cap_drop);
  process.capabilities->bounding = capabilities;
  process.capabilities->permitted = user.uid == 0 ? capabilities : std::vector<std::string>();
  process.capabilities->effective = process.capabilities->permitted;
  if (options.seccomp) config.linux_->seccomp = default_seccomp(capabilities);
  process.no_new_privileges = options.no_new_privileges;
  process.apparmor_profile = options.apparmor_profile;

  config.root->readonly = options.read_only;
  for (const std::string& text : options.tmpfs) add_tmpfs(config, text);
  for (const BindVolume& volume : options.volumes) add_volume(config, volume);
  if (!options.init.empty()) add_init(config, options.init);

  oci::Resources& resources = *config.linux_->resources;
  if (options.memory) resources.memory.emplace().limit = options.memory;
  if (options.cpu_quota) {
    resources.cpu.emplace().quota = options.cpu_quota;
    resources.cpu->period = cpu_period;
  }
  if (options.pids_limit) resources.pids.emplace().limit = options.pids_limit;

  annotate(image, config);
  if (!options.stop_signal.empty())
    config.annotations["org.opencontainers.image.stopSignal"] = options.stop_signal;
  if (!options.ports.empty()) config.annotations["run.vessel.ports"] = ports_text(options.ports);
  for (const auto& [key, value] : options.annotations) config.annotations[key] = value;
  return config;
}

}  // namespace kiln
