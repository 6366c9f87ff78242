#include "builder/steps/run_step.hh"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "builder/steps/container_defaults.hh"
#include "builder/steps/container_network.hh"
#include "builder/steps/isolation_user_namespace.hh"
#include "builder/steps/mount_stubs.hh"
#include "builder/steps/ownership_watch.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/overwrite.hh"
#include "builder/sys/resolve.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln {

namespace {

// A bundle directory that goes away with everything in it.
class BundleDirectory {
 public:
  // `secret`: what is written there touches no disk, or is overwritten where that is not possible.
  BundleDirectory(const std::string& parent, const std::string& prefix, bool secret)
      : parent_(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
        name_(prefix + random_name()),
        secret_(secret) {
    if (!parent_) throw SysError("open " + parent);
    make_dir_at(parent_.get(), name_, 0700);
    path_ = parent + "/" + name_;
    // In kiln's private mount namespace: it goes with the process, whatever ends that.
    in_memory_ = secret && mount("tmpfs", path_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                                 "mode=700") == 0;
    directory_ = open_dir_at(parent_.get(), name_);
  }
  ~BundleDirectory() {
    if (secret_ && !in_memory_) overwrite_config();
    directory_.reset();
    if (in_memory_) umount2(path_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    try {
      remove_tree_at(parent_.get(), name_);
    } catch (const Error&) {
      return;  // prune removes what a full or broken disk kept
    }
  }
  BundleDirectory(const BundleDirectory&) = delete;
  BundleDirectory& operator=(const BundleDirectory&) = delete;

  const std::string& name() const { return name_; }
  const std::string& path() const { return path_; }
  int get() const { return directory_.get(); }
  void write(const std::string& name, std::string_view content) const {
    write_file_atomic(directory_.get(), name, content, 0644);
  }

 private:
  void overwrite_config() const {
    const Fd config(
        openat(directory_.get(), "config.json", O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    try {
      if (config) overwrite_file(config.get());
    } catch (const Error&) {
      return;  // it is removed in any case
    }
  }

  Fd parent_;
  std::string name_;
  bool secret_ = false;
  Fd directory_;
  std::string path_;
  bool in_memory_ = false;
};

oci::Mount bind_file(const std::string& source, const std::string& destination, bool readonly) {
  return {destination, "bind", source, {"rbind", "rprivate", readonly ? "ro" : "rw"}, {}, {}};
}

void loosen(oci::Config& config) {
  const std::vector<std::string>& all = all_capabilities();
  config.process->capabilities = oci::Capabilities{all, all, {}, all, {}};
  config.linux_->masked_paths.clear();
  config.linux_->readonly_paths.clear();
  config.linux_->seccomp.reset();
  for (oci::Mount& m : config.mounts)
    if (m.destination.starts_with("/sys")) std::ranges::replace(m.options, "ro", "rw");
}

void set_shm_size(oci::Config& config, int64_t bytes) {
  for (oci::Mount& m : config.mounts)
    if (m.destination == "/dev/shm")
      for (std::string& o : m.options)
        if (o.starts_with("size=")) o = "size=" + std::to_string(bytes);
}

std::string extra_host_lines(const std::vector<std::string>& extra) {
  std::string text;
  for (const std::string& e : extra) {
    const size_t colon = e.find(':');
    std::string address = e.substr(colon + 1);
    if (address.starts_with('[') && address.ends_with(']'))
      address = address.substr(1, address.size() - 2);
    text += address + "\t" + e.substr(0, colon) + "\n";
  }
  return text;
}

bool is_mount_point(int root, const std::string& path) {
  const auto file = try_open_in_root(root, path, O_PATH);
  struct statx status {};
  return file && statx(file->get(), "", AT_EMPTY_PATH, 0, &status) == 0 &&
         (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Lines at the end of a mounted /etc/hosts for as long as a step runs.
class AddedHosts {
 public:
  AddedHosts(int root, const std::string& path, const std::string& lines) {
    auto file = try_open_in_root(root, path, O_RDWR | O_APPEND);
    struct stat status {};
    if (!file || fstat(file->get(), &status) != 0)
      throw SysError("--add-host: write to the mounted " + path, file ? errno : file.error());
    file_ = std::move(*file);
    size_ = status.st_size;
    write_all(file_.get(), "\n" + lines);
  }
  ~AddedHosts() {
    // Nothing else could be done about it, and the next container has its own.
    if (ftruncate(file_.get(), size_) != 0) return;
  }
  AddedHosts(const AddedHosts&) = delete;
  AddedHosts& operator=(const AddedHosts&) = delete;

 private:
  Fd file_;
  off_t size_ = 0;
};

oci::Config config_of(const RunStep& step, const RunDefaults& defaults,
                      const std::string& root_path, const std::string& id) {
  oci::Config config = defaults.config;
  oci::Process& process = *config.process;
  process.args = step.argv;
  process.env = step.env;
  process.cwd = step.working_dir.empty() ? "/" : step.working_dir;
  process.user.uid = step.user.uid;
  process.user.gid = step.user.gid;
  process.user.additional_gids = step.user.additional_gids;
  process.rlimits = defaults.rlimits;
  // As every container of another user than root: what the bounding set holds is for set-uid
  // programs, the process itself starts with nothing.
  if (step.user.uid != 0 && process.capabilities) {
    process.capabilities->effective.clear();
    process.capabilities->permitted.clear();
  }
  const bool has_home =
      std::ranges::any_of(process.env, [](const std::string& e) { return e.starts_with("HOME="); });
  if (!has_home) process.env.push_back("HOME=" + step.user.home);
  config.root = oci::Root{root_path, false};
  config.hostname = "kiln";
  if (step.network != StepNetwork::host) config.linux_->namespaces.push_back({"network", ""});
  if (step.network == StepNetwork::pasta) {
    config.hooks.create_runtime.push_back(connect_hook({}));
    config.hooks.poststop.push_back(disconnect_hook());
  }
  if (step.insecure) loosen(config);
  if (defaults.shm_size) set_shm_size(config, *defaults.shm_size);
  if (defaults.memory) {
    oci::Resources resources;
    resources.memory = oci::MemoryLimits{};
    resources.memory->limit = defaults.memory;
    resources.memory->swap = defaults.memory_swap;
    config.linux_->resources = std::move(resources);
  }
  config.linux_->cgroups_path = "/kiln/" + id;
  if (defaults.isolation == Isolation::chroot)
    config.annotations[written_annotation] = step.written;
  return config;
}

}  // namespace

RuntimeEnd run_step(const RunStep& step, const RunDefaults& defaults, int root,
                    const std::string& root_path, const RuntimeCall& runtime, const LineSink& sink,
                    const Cancellation& cancel) {
  const BundleDirectory bundle(defaults.bundle_directory, defaults.container_prefix,
                               step.secret_environment);
  RuntimeCall call = runtime;
  call.bundle = bundle.path();
  call.id = bundle.name();
  oci::Config config = config_of(step, defaults, root_path, call.id);
  const uint32_t ids = mapped_ids();
  if (step.user.uid >= ids || step.user.gid >= ids)
    throw Error("user " + std::to_string(step.user.uid) + ":" + std::to_string(step.user.gid) +
                " is not mapped here, only ids below " + std::to_string(ids) +
                " are; see 'kiln doctor'");
  fit_to_user_namespace(config, ids);
  std::optional<OwnershipWatch> watch;
  if (ids != UINT32_MAX) {
    watch.emplace(bundle.get(), ids);
    watch->watch(config);
  }

  // Declared after the bundle: the stubs go before it, whatever happens.
  MountStubs stubs(root);
  for (const oci::Mount& m : config.mounts)
    if (m.destination == "/proc" || m.destination == "/sys" || m.destination == "/dev")
      stubs.need(m.destination, true);
  bundle.write("resolv.conf", step.network == StepNetwork::pasta
                                  ? container_resolv_conf(resolv_conf_text(true))
                                  : defaults.resolv_conf);
  bundle.write("hosts", hosts_text(defaults.extra_hosts, config.hostname));
  std::unique_ptr<AddedHosts> added_hosts;
  for (const char* name : {"resolv.conf", "hosts"}) {
    const std::string target = stubs.need(std::string("/etc/") + name, false);
    // The engine's own are the right ones, and nothing can be put over them.
    if (defaults.isolation != Isolation::in_place || !is_mount_point(root, target))
      config.mounts.push_back(bind_file(bundle.path() + "/" + name, target, true));
    else if (name == std::string_view("hosts") && !defaults.extra_hosts.empty())
      added_hosts =
          std::make_unique<AddedHosts>(root, target, extra_host_lines(defaults.extra_hosts));
  }
  for (const RunMount& m : step.mounts) {
    config.mounts.push_back(m.mount);
    // Below the runtime's own /dev nothing can be, and need not be, made in the image.
    if (!m.mount.destination.starts_with("/dev/"))
      config.mounts.back().destination = stubs.need(m.mount.destination, m.directory);
  }
  bundle.write("config.json", oci::write(config));
  RuntimeEnd end = run_container(call, sink, cancel);
  if (watch) end.refused = watch->refused();
  stubs.remove();
  return end;
}

std::string hosts_text(const std::vector<std::string>& extra, std::string_view hostname) {
  return "127.0.0.1\tlocalhost " + std::string(hostname) +
         "\n::1\tlocalhost ip6-localhost ip6-loopback\n" + extra_host_lines(extra);
}

std::string resolv_conf_text(bool private_network) {
  constexpr size_t limit = 1 << 16;
  auto text = try_read_file_at(AT_FDCWD, "/etc/resolv.conf", limit);
  if (private_network && text && text->find("nameserver 127.") != std::string::npos)
    if (auto upstream = try_read_file_at(AT_FDCWD, "/run/systemd/resolve/resolv.conf", limit))
      text = std::move(upstream);
  return text.value_or("");
}

}  // namespace kiln
