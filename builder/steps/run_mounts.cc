#include "builder/steps/run_mounts.hh"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "builder/layer/tree.hh"
#include "builder/steps/copy_plan.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/overwrite.hh"
#include "builder/sys/secret.hh"
#include "oci-spec/digest.hh"

namespace kiln {

namespace {

constexpr size_t secret_limit = 500 * 1024;  // as BuildKit's session

RunMount bind_mount(const std::string& source, const std::string& target, bool directory,
                    bool read_only) {
  return {{target,
           "bind",
           source,
           {directory ? "rbind" : "bind", "rprivate", "nosuid", "nodev", read_only ? "ro" : "rw"},
           {},
           {}},
          directory};
}

Fd open_made_dir(int parent, const std::string& name, mode_t mode, bool& fresh) {
  fresh = mkdirat(parent, name.c_str(), mode) == 0;
  if (!fresh && errno != EEXIST) throw SysError("make " + name);
  return open_dir_at(parent, name);
}

// flock that a cancellation ends: tried, then waited for in short steps, because the kernel has no
// way to wait for a lock and a descriptor at once.
void lock(int fd, int kind, const Cancellation& cancel) {
  while (flock(fd, kind | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) throw SysError("lock a cache mount");
    pollfd p = {cancel.fd(), POLLIN, 0};
    if (poll(&p, 1, 20) == 1) throw Canceled();
  }
}

// The name of a cache's directory. An id is text, never a path (CVE-2024-11218).
std::string cache_digest(const dockerfile::Mount& mount, const std::string& target) {
  return std::string(oci::Digest::sha256(mount.id.empty() ? target : mount.id).hex());
}

}  // namespace

namespace {

std::optional<Fd> try_directory(int parent, const std::string& name) {
  Fd fd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return fd ? std::optional(std::move(fd)) : std::nullopt;
}

void overwrite_name(int directory, const std::string& name) {
  const Fd file(openat(directory, name.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file) overwrite_file(file.get());
}

}  // namespace

void overwrite_left_secrets(int work_directory) {
  for (const std::string& name : list_directory(work_directory)) {
    if (!name.starts_with("mounts-")) continue;
    const auto mounts = try_directory(work_directory, name);
    const auto secrets = mounts ? try_directory(mounts->get(), "secrets") : std::nullopt;
    if (!secrets) continue;
    for (const std::string& file : list_directory(secrets->get()))
      overwrite_name(secrets->get(), file);
  }
  const auto bundles = try_directory(work_directory, "bundles");
  if (!bundles) return;
  for (const std::string& name : list_directory(bundles->get()))
    if (const auto bundle = try_directory(bundles->get(), name))
      overwrite_name(bundle->get(), "config.json");
}

RunMounts::RunMounts(const std::string& parent_directory, const std::string& cache_root)
    : parent_(open(parent_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      name_("mounts-" + random_name()),
      cache_root_(cache_root) {
  if (!parent_) throw SysError("open " + parent_directory);
  make_dir_at(parent_.get(), name_, 0700);
  directory_ = open_dir_at(parent_.get(), name_);
  path_ = parent_directory + "/" + name_;
}

RunMounts::~RunMounts() {
  try {
    for (const std::string& file : secret_files_) {
      const Fd fd(openat(secrets_.get(), file.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
      if (fd) overwrite_file(fd.get());
    }
    if (secrets_on_tmpfs_) {
      secrets_.reset();
      umount2((path_ + "/secrets").c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    }
    // One that stays is read-only, so that what follows cannot touch what is behind it.
    for (const std::string& path : attached_) umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    remove_tree_at(parent_.get(), name_);
  } catch (const Error&) {
    return;  // prune removes what is left
  }
}

void RunMounts::add_bind(const std::string& target, const std::string& source, bool directory,
                         bool read_only) {
  mounts_.push_back(bind_mount(source, target, directory, read_only));
}

bool RunMounts::try_add_held_bind(const std::string& target, int source, bool directory) {
  const Fd tree(open_tree(source, "",
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
                              (directory ? static_cast<unsigned>(AT_RECURSIVE) : 0U)));
  if (!tree) return false;
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  attributes.propagation = MS_PRIVATE;
  if (mount_setattr(tree.get(), "",
                    AT_EMPTY_PATH | (directory ? static_cast<unsigned>(AT_RECURSIVE) : 0U),
                    &attributes, sizeof attributes) != 0)
    return false;
  const std::string name = "bind-" + std::to_string(mounts_.size());
  if (directory) {
    make_dir_at(directory_.get(), name, 0755);
  } else if (!Fd(openat(directory_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                        0644))) {
    throw SysError("create " + name);
  }
  if (move_mount(tree.get(), "", directory_.get(), name.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return false;
  attached_.push_back(path_ + "/" + name);
  add_bind(target, attached_.back(), directory, true);
  return true;
}

void RunMounts::lock_caches(std::span<const dockerfile::Mount> mounts,
                            const std::string& working_dir, bool moved,
                            const Cancellation& cancel) {
  using Sharing = dockerfile::Mount::Sharing;
  // Of two uses in one step the stricter counts.
  const auto strictness = [](Sharing s) {
    return s == Sharing::locked ? 2 : s == Sharing::private_ ? 1 : 0;
  };
  std::map<std::string, Sharing> wanted;
  for (const dockerfile::Mount& m : mounts) {
    if (m.type != dockerfile::Mount::Type::cache) continue;
    Sharing sharing = m.sharing.value_or(Sharing::shared);
    if (moved && sharing == Sharing::shared) sharing = Sharing::locked;
    const auto [at, is_new] =
        wanted.try_emplace(cache_digest(m, absolute_path(m.target, working_dir)), sharing);
    if (!is_new && strictness(sharing) > strictness(at->second)) at->second = sharing;
  }
  if (wanted.empty()) return;
  const Fd root(open(cache_root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open " + cache_root_);
  for (const auto& [digest, sharing] : wanted)
    for (unsigned copy = 0;;) {
      const std::string name = copy == 0 ? digest : digest + "-" + std::to_string(copy);
      bool fresh = false;
      Fd held(open_made_dir(root.get(), name, 0755, fresh));
      // Each use holds a lock, so that `prune` sees it; only the kind differs.
      if (sharing == Sharing::private_) {
        if (flock(held.get(), LOCK_EX | LOCK_NB) != 0) {
          ++copy;  // in use: the next one
          continue;
        }
      } else {
        lock(held.get(), sharing == Sharing::locked ? LOCK_EX : LOCK_SH, cancel);
      }
      // It may have been pruned between opening and locking.
      struct stat mine {
      }, there{};
      if (fstat(held.get(), &mine) != 0) throw SysError("stat cache mount");
      if (fstatat(root.get(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0 ||
          mine.st_ino != there.st_ino)
        continue;
      locks_.push_back(std::move(held));
      cache_names_[digest] = name;
      break;
    }
}

int RunMounts::add_cache(const dockerfile::Mount& mount, const std::string& target, bool& fresh) {
  const std::string& name = cache_names_.at(cache_digest(mount, target));
  const Fd root(open(cache_root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open " + cache_root_);
  const Fd directory = open_dir_at(root.get(), name);
  Fd data = open_made_dir(directory.get(), "data", 0755, fresh);
  if (fresh && (fchmod(data.get(), mount.mode.value_or(0755)) != 0 ||
                fchown(data.get(), mount.uid.value_or(0), mount.gid.value_or(0)) != 0))
    throw SysError("prepare the cache mount at " + target);
  mounts_.push_back(bind_mount(cache_root_ + "/" + name + "/data", target, true, mount.read_only));
  locks_.push_back(std::move(data));
  return locks_.back().get();
}

void RunMounts::add_tmpfs(const dockerfile::Mount& mount, const std::string& target) {
  std::vector<std::string> options = {"nosuid", "nodev", "mode=1777"};
  if (mount.size > 0) options.push_back("size=" + std::to_string(mount.size));
  mounts_.push_back({{target, "tmpfs", "tmpfs", std::move(options), {}, {}}, true});
}

std::string RunMounts::write_private(int directory, std::string_view content, uint32_t mode,
                                     uint32_t uid, uint32_t gid) {
  const std::string file = "file-" + std::to_string(mounts_.size());
  const Fd fd(
      openat(directory, file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) throw SysError("create " + file);
  write_all(fd.get(), content);
  if ((uid != 0 || gid != 0) && fchown(fd.get(), uid, gid) != 0) throw SysError("chown " + file);
  if (fchmod(fd.get(), mode) != 0) throw SysError("chmod " + file);
  return file;
}

int RunMounts::secret_directory() {
  if (secrets_) return secrets_.get();
  make_dir_at(directory_.get(), "secrets", 0700);
  // In kiln's private mount namespace: the value never reaches a disk and goes with the process.
  // Where mounting is forbidden it is a file of this step, overwritten at the end.
  const std::string path = path_ + "/secrets";
  secrets_on_tmpfs_ =
      ::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") == 0;
  secrets_ = open_dir_at(directory_.get(), "secrets");
  return secrets_.get();
}

void RunMounts::add_secret(const dockerfile::Mount& mount, const std::string& working_dir,
                           const MountSources& sources) {
  std::string id = mount.id;
  if (id.empty()) id = mount.source;
  if (id.empty() && !mount.target.empty()) id = mount.target.substr(mount.target.rfind('/') + 1);
  if (id.empty()) throw Error("--mount=type=secret needs id= or target=");
  const auto found = sources.secrets.find(id);
  if (found == sources.secrets.end()) {
    if (mount.required)
      throw Error("secret " + id + " is required here: give it with --secret id=" + id +
                  ",src=FILE or --secret id=" + id + ",env=VARIABLE");
    return;
  }
  std::string raw;
  if (!found->second.variable.empty()) {
    const char* value = getenv(found->second.variable.c_str());
    if (value == nullptr)
      throw Error("secret " + id + ": variable " + found->second.variable + " is not set");
    raw = value;
  } else {
    raw = read_file_at(AT_FDCWD, found->second.file, secret_limit);
  }
  const Secret secret(std::move(raw));
  if (mount.env) {
    environment_.push_back((mount.env->empty() ? id : *mount.env) + "=" + secret.reveal());
    secret_environment_ = true;
  }
  if (mount.env && mount.target.empty()) return;
  const std::string target =
      mount.target.empty() ? "/run/secrets/" + id : absolute_path(mount.target, working_dir);
  const std::string file =
      write_private(secret_directory(), secret.reveal(), mount.mode.value_or(0400),
                    mount.uid.value_or(0), mount.gid.value_or(0));
  secret_files_.push_back(file);
  mounts_.push_back(bind_mount(path_ + "/secrets/" + file, target, false, true));
}

void RunMounts::add_ssh(const dockerfile::Mount& mount, size_t number,
                        const std::string& working_dir, const MountSources& sources) {
  const std::string id = mount.id.empty() ? "default" : mount.id;
  const auto found = sources.ssh_sockets.find(id);
  if (found == sources.ssh_sockets.end()) {
    if (mount.required)
      throw Error("ssh agent " + id + " is required here: give it with --ssh " + id +
                  "=SOCKET, or --ssh " + id + " with SSH_AUTH_SOCK set");
    return;
  }
  const std::string target = mount.target.empty()
                                 ? "/run/buildkit/ssh_agent." + std::to_string(number)
                                 : absolute_path(mount.target, working_dir);
  const std::string name = "agent-" + std::to_string(agents_.size());
  agents_.push_back(std::make_unique<AgentForward>(directory_.get(), name, found->second,
                                                   mount.mode.value_or(0600), mount.uid.value_or(0),
                                                   mount.gid.value_or(0)));
  mounts_.push_back(bind_mount(path_ + "/" + name, target, false, false));
  environment_.push_back("SSH_AUTH_SOCK=" + target);
}

void RunMounts::add_script(const std::string& target, std::string_view content) {
  const std::string file = write_private(directory_.get(), content, 0755, 0, 0);
  mounts_.push_back(bind_mount(path_ + "/" + file, target, false, true));
}

std::string RunMounts::scratch_directory() {
  const std::string name = "scratch-" + std::to_string(mounts_.size());
  make_dir_at(directory_.get(), name, 0755);
  return path_ + "/" + name;
}

}  // namespace kiln
