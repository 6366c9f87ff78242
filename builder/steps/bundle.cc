#include "builder/steps/bundle.hh"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "builder/layer/apply.hh"
#include "builder/steps/container_network.hh"
#include "builder/store/layer_blob.hh"
#include "builder/store/volumes.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/resolve.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln {

namespace {

constexpr const char* marker = ".kiln-bundle";  // holds the name of the bundle's lease
constexpr size_t marker_limit = 4096;

// Without root everything stays the caller's, and device nodes cannot be made.
ApplyOptions unpack_options() {
  ApplyOptions options;
  options.owners = geteuid() == 0;
  options.devices = options.owners && mapped_ids() == UINT32_MAX;
  return options;
}

CachedLayer layer_of(const Image& image, size_t i) {
  return {image.manifest.layers[i], image.config.diff_ids[i]};
}

void unpack(Store& store, const Image& image, int root) {
  for (size_t i = 0; i < image.manifest.layers.size(); ++i)
    read_layer(store, layer_of(image, i),
               [root](ByteSource& tar) { apply_tar(tar, root, unpack_options()); });
}

// Unpacks into snapshots what is not there yet; the key of the whole.
std::string materialise(Store& store, const Image& image, Snapshotter& snapshots) {
  std::string parent;
  const auto keys = chain_ids(image.config.diff_ids);
  for (size_t i = 0; i < keys.size(); ++i) {
    store.hold_snapshot(keys[i]);
    if (!snapshots.has(keys[i]))
      read_layer(store, layer_of(image, i), [&](ByteSource& tar) {
        snapshots.unpack(keys[i], parent, tar, unpack_options());
      });
    parent = keys[i];
  }
  return parent;
}

// WORKDIR is made where the image lacks it, as Docker does; never outside the root.
void make_directories_in_root(int root, std::string_view path) {
  std::string so_far;
  std::string_view rest = path;
  while (!rest.empty()) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view name = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (name.empty() || name == ".") continue;
    so_far += "/" + std::string(name);
    if (name == ".." || try_open_in_root(root, so_far, O_PATH | O_DIRECTORY)) continue;
    const InRootName at = open_parent_in_root(root, so_far);
    if (mkdirat(at.parent.get(), at.name.c_str(), 0755) != 0 && errno != EEXIST)
      throw SysError("create working directory " + std::string(path));
  }
}

void require_empty(const std::string& directory) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) throw Error("bundle " + directory + ": " + failed.message());
  if (!std::filesystem::is_empty(directory, failed) || failed)
    throw Error("bundle " + directory + ": the directory is not empty");
}

// What a container finds in /etc of its own, whatever the image has there.
void write_network_files(int bundle, const std::string& hostname, BundleNetwork network) {
  write_file_atomic(bundle, "hostname", hostname + "\n");
  std::string hosts =
      "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" + hostname +
      "\n";
  std::string resolv;
  if (network == BundleNetwork::host)
    hosts = try_read_file_at(AT_FDCWD, "/etc/hosts", size_t{1} << 20).value_or(hosts);
  if (network != BundleNetwork::none)
    resolv = try_read_file_at(AT_FDCWD, "/etc/resolv.conf", size_t{1} << 20).value_or("");
  if (network == BundleNetwork::connected) resolv = container_resolv_conf(resolv);
  write_file_atomic(bundle, "hosts", hosts);
  write_file_atomic(bundle, "resolv.conf", resolv);
}

void add_hooks(oci::Config& config, const Store& store, const BundleOptions& options) {
  const bool connected = options.container.network == BundleNetwork::connected;
  if (connected) config.hooks.create_runtime.push_back(connect_hook(options.container.ports));
  if (!connected && !options.ends_with_container) return;
  oci::Hook down = disconnect_hook();
  if (options.ends_with_container)
    down.args.insert(down.args.end(), {"--store", store.path(), "--rm"});
  if (options.remove_volumes) down.args.emplace_back("--volumes");
  config.hooks.poststop.push_back(std::move(down));
}

// ---- volumes ------------------------------------------------------------------------------------

bool is_mounted(const ContainerOptions& options, const std::string& destination) {
  const auto same = [&](std::string path) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    return path == destination;
  };
  return std::ranges::any_of(options.volumes,
                             [&](const BindVolume& v) { return same(v.destination); }) ||
         std::ranges::any_of(options.tmpfs,
                             [&](const std::string& t) { return same(t.substr(0, t.find(':'))); });
}

// Gives every volume of the store its name: an anonymous one to each VOLUME of the image that
// nothing else is mounted on. Outer destinations come first.
void name_volumes(ContainerOptions& options, const oci::ImageConfig& image) {
  for (std::string destination : image.config.volumes) {
    while (destination.size() > 1 && destination.ends_with('/')) destination.pop_back();
    if (!destination.starts_with('/') || destination == "/" || is_mounted(options, destination))
      continue;
    BindVolume volume;
    volume.destination = destination;
    volume.of_store = true;
    options.volumes.push_back(std::move(volume));
  }
  std::ranges::stable_sort(options.volumes, {}, [](const BindVolume& v) {
    return std::ranges::count(v.destination, '/');
  });
}

// The volume in place of its name, so that what follows sees host paths only. Held by the lease
// before anybody could prune it: under the caller's lock.
void make_volumes(Volumes& volumes, ContainerOptions& options, BundleLease& lease,
                  std::vector<std::string>& names) {
  for (BindVolume& volume : options.volumes) {
    names.emplace_back();
    if (!volume.of_store) continue;
    const bool anonymous = volume.source.empty();
    const std::string name =
        anonymous ? random_name() + random_name() + random_name() + random_name() : volume.source;
    volume.source = volumes.open_or_create(name, anonymous).path;
    lease.held.push_back(volume_thing(name));
    names.back() = name;
  }
}

void fill_volumes(Volumes& volumes, const ContainerOptions& options,
                  const std::vector<std::string>& names, int root) {
  for (size_t i = 0; i < options.volumes.size(); ++i) {
    const BindVolume& volume = options.volumes[i];
    if (names[i].empty() || volume.no_copy) continue;
    // Resolved in the root, and only a directory: what a link or a device leads to is none.
    if (const auto from = try_open_in_root(root, volume.destination, O_RDONLY | O_DIRECTORY))
      volumes.fill(names[i], from->get());
  }
}

void make_sources(const ContainerOptions& options) {
  for (const BindVolume& volume : options.volumes) {
    if (volume.of_store) continue;
    std::error_code failed;
    if (std::filesystem::exists(volume.source, failed)) continue;
    if (volume.make_source) std::filesystem::create_directories(volume.source, failed);
    if (failed || !volume.make_source)
      throw Error("mount " + volume.destination + ": the source " + volume.source +
                  (failed ? ": " + failed.message() : " does not exist"));
  }
}

void add_file_mounts(oci::Config& config, const std::string& directory) {
  for (const char* name : {"hostname", "hosts", "resolv.conf"}) {
    const std::string destination = std::string("/etc/") + name;
    if (std::ranges::find(config.mounts, destination, &oci::Mount::destination) !=
        config.mounts.end())
      continue;  // a volume of the person's own
    config.mounts.push_back(
        {destination, "bind", directory + "/" + name, {"rbind", "rprivate", "rw"}, {}, {}});
  }
}

void unmount_root(const std::string& directory) {
  const std::string root = directory + "/rootfs";
  // Only a mount of ours; a directory that was never mounted says EINVAL.
  while (umount2(root.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
  if (errno != EINVAL && errno != ENOENT && errno != EPERM) throw SysError("unmount " + root);
}

void remove_directory(const std::string& directory) {
  disconnect_network(directory);
  unmount_root(directory);
  const std::filesystem::path path(directory);
  const Fd parent(open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent) throw SysError("open " + path.parent_path().string());
  remove_tree_at(parent.get(), path.filename());
}

void remove_anonymous_volumes(const Store& store, const std::vector<std::string>& held) {
  Volumes volumes(store);
  for (const Volume& volume : volumes.list()) {
    if (!volume.anonymous || std::ranges::find(held, volume_thing(volume.name)) == held.end())
      continue;
    try {
      volumes.remove(volume.name);
    } catch (const Error&) {  // another container took it over by its name
    }
  }
}

std::string absolute(const std::string& directory) {
  std::string path = std::filesystem::absolute(directory).lexically_normal().string();
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

void fill_bundle(Store& store, const Image& image, const BundleOptions& options, BundleLease& lease,
                 MadeBundle& made) {
  const Fd bundle(open(made.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!bundle) throw SysError("open " + made.directory);
  ContainerOptions container = options.container;
  name_volumes(container, image.config);
  make_sources(container);
  Volumes volumes(store);
  std::vector<std::string> volume_names;
  {
    // Both or neither, as collection sees it.
    const CollectLock lock(store.records(), CollectLock::Mode::shared);
    make_volumes(volumes, container, lease, volume_names);
    write_file_atomic(bundle.get(), marker, lease.name + "\n");
    write_bundle_lease(store.records(), lease);
  }
  make_dir_at(bundle.get(), "rootfs");
  if (options.snapshots != nullptr) {
    const std::string key = materialise(store, image, *options.snapshots);
    if (options.snapshots->try_mount_for_bundle(key, made.directory)) {
      made.overlay = true;
      lease.boot = boot_id();  // the mount does not outlive it
      lease.held.push_back("snapshot:" + key);
      write_bundle_lease(store.records(), lease);
    }
  }
  const Fd root = open_dir_at(bundle.get(), "rootfs");
  if (!made.overlay) unpack(store, image, root.get());

  fill_volumes(volumes, container, volume_names, root.get());

  if (container.hostname.empty()) container.hostname = lease.name.substr(0, 12);
  oci::Config config = container_config(image.config, container, root.get());
  make_directories_in_root(root.get(), config.process->cwd);
  write_network_files(bundle.get(), container.hostname, container.network);
  add_file_mounts(config, made.directory);
  add_hooks(config, store, options);
  if (!image.name.empty()) config.annotations["org.opencontainers.image.ref.name"] = image.name;
  write_file_atomic(bundle.get(), "config.json", oci::write(config, 2));
}

}  // namespace

MadeBundle make_bundle(Store& store, const Image& image, const std::string& directory,
                       const BundleOptions& options) {
  MadeBundle made;
  made.directory = absolute(directory);
  require_empty(made.directory);
  BundleLease lease;
  lease.name = random_name();
  lease.directory = made.directory;
  lease.image = image.name;
  lease.container = options.container_name;
  lease.held = {image.top.digest.text(), image.manifest_blob.digest.text()};
  // The runtime's state, by which the container is known, does not outlive the boot.
  if (options.ends_with_container) lease.boot = boot_id();
  if (options.ends_with_process) {
    lease.pid = options.process != 0 ? options.process : getpid();
    lease.start = process_start(lease.pid);
  }
  try {
    fill_bundle(store, image, options, lease, made);
  } catch (...) {
    try {
      remove_directory(made.directory);
    } catch (const Error&) {  // the first failure is the one to tell
    }
    remove_bundle_lease(store.records(), lease.name);
    remove_anonymous_volumes(store, lease.held);
    throw;
  }
  return made;
}

void remove_bundle(Store& store, const std::string& directory, bool volumes) {
  const std::string path = absolute(directory);
  const Fd bundle(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!bundle) throw SysError("open bundle " + path);
  auto name = try_read_file_at(bundle.get(), marker, marker_limit);
  if (!name) throw Error("bundle " + path + ": was not made by kiln, so it is left alone");
  while (name->ends_with('\n')) name->pop_back();
  std::vector<std::string> held;
  for (BundleLease& lease : bundle_leases(store.records()))
    if (lease.name == *name) held = std::move(lease.held);
  remove_directory(path);
  remove_bundle_lease(store.records(), *name);
  if (volumes) remove_anonymous_volumes(store, held);
}

void rest_bundle(const std::string& directory) {
  const std::string path = absolute(directory);
  disconnect_network(path);
  unmount_root(path);
}

size_t remove_dead_bundles(Store& store) {
  std::vector<std::string> dead;
  {
    const CollectLock lock(store.records(), CollectLock::Mode::exclusive);
    std::vector<std::string> live;
    for (const BundleLease& lease : bundle_leases(store.records())) live.push_back(lease.name);
    std::error_code none;
    for (const auto& entry :
         std::filesystem::directory_iterator(store.path() + "/kiln/bundles", none)) {
      const Fd bundle(open(entry.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
      if (!bundle) continue;
      auto name = try_read_file_at(bundle.get(), marker, marker_limit);
      if (!name) continue;  // being made
      while (name->ends_with('\n')) name->pop_back();
      if (std::ranges::find(live, *name) == live.end()) dead.push_back(entry.path());
    }
  }
  for (const std::string& directory : dead) remove_bundle(store, directory);
  return dead.size();
}

}  // namespace kiln
