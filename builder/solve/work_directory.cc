#include "builder/solve/work_directory.hh"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "builder/steps/container_network.hh"
#include "builder/steps/run_mounts.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln::solve {

namespace {

constexpr const char* runtime_file = "runtime";

std::vector<std::string> names_in(int directory) {
  std::vector<std::string> names;
  Fd copy(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return names;
  DIR* opened = fdopendir(copy.get());
  if (opened == nullptr) return names;
  static_cast<void>(copy.release());
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opened, closedir);
  while (const dirent* e = readdir(stream.get()))
    if (const std::string name = e->d_name; name != "." && name != "..") names.push_back(name);
  return names;
}

std::string prefix_of(const std::string& work_directory) {
  return std::string(bundle_prefix) + work_directory + "-";
}

// As set_runtime() wrote it: program and arguments, a line each.
RuntimeCall call_of(const std::string& text, const std::string& id) {
  RuntimeCall call;
  call.id = id;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (at == 0)
      call.runtime = text.substr(0, end);
    else
      call.arguments.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return call;
}

void remove_dead(int parent, const std::string& directory, const std::string& name,
                 const std::string& runtime_state) {
  const Fd dead(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dead || flock(dead.get(), LOCK_EX | LOCK_NB) != 0) return;  // a file, or in use
  if (const auto runtime = try_read_file_at(dead.get(), runtime_file, 4096)) {
    // Every runtime keeps a container's state in a directory of its name.
    const Fd state(open(runtime_state.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (const std::string& container : state ? names_in(state.get()) : std::vector<std::string>{})
      if (container.starts_with(prefix_of(name))) delete_container(call_of(*runtime, container));
  }
  end_networks_below(directory + "/" + name);
  overwrite_left_secrets(dead.get());
  remove_tree_at(parent, name);
}

// Nobody may take a directory for a dead one between its making and its lock.
Fd pass_gate(const std::string& directory) {
  Fd gate(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!gate) throw SysError("open " + directory);
  while (flock(gate.get(), LOCK_EX) != 0)
    if (errno != EINTR) throw SysError("lock " + directory);
  return gate;
}

void remove_dead_ones(int parent, const std::string& directory, const std::string& runtime_state) {
  for (const std::string& name : names_in(parent)) try {
      remove_dead(parent, directory, name, runtime_state);
    } catch (const Error&) {
      continue;  // a mount of another namespace may hold it; the next build tries again
    }
}

}  // namespace

void remove_dead_work(const std::string& directory, const std::string& runtime_state) {
  const Fd gate = pass_gate(directory);
  remove_dead_ones(gate.get(), directory, runtime_state);
}

std::string runtime_state_directory(const std::string& otherwise) {
  const std::string mine = "/kiln-" + std::to_string(geteuid());
  std::vector<std::string> parents;
  if (const char* own = getenv("XDG_RUNTIME_DIR"); own != nullptr && *own == '/')
    parents.emplace_back(own);
  parents.emplace_back("/run");
  parents.emplace_back("/dev/shm");
  for (const std::string& parent : parents) {
    struct statfs kind {};
    struct stat s {};
    const std::string path = parent + mine;
    if (statfs(parent.c_str(), &kind) != 0 || kind.f_type != TMPFS_MAGIC) continue;
    mkdir(path.c_str(), 0700);
    // /dev/shm is everybody's: what another user put there is not used.
    if (lstat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == geteuid() &&
        (s.st_mode & 0777) == 0700)
      return path;
  }
  return otherwise;
}

WorkDirectory::WorkDirectory(const std::string& directory, const std::string& runtime_state)
    : parent_(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), name_(random_name()) {
  if (!parent_) throw SysError("open " + directory);
  const Fd gate = pass_gate(directory);
  remove_dead_ones(gate.get(), directory, runtime_state);
  make_dir_at(parent_.get(), name_, 0700);
  own_ = open_dir_at(parent_.get(), name_);
  if (flock(own_.get(), LOCK_EX | LOCK_NB) != 0) throw SysError("lock " + directory);
  path_ = directory + "/" + name_;
  make_dir_at(own_.get(), "bundles", 0700);
  bundles_ = path_ + "/bundles";
  // Gone with the private mount namespace, whatever ends the process.
  in_memory_ =
      mount("tmpfs", bundles_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") == 0;
}

std::string WorkDirectory::container_prefix() const {
  return prefix_of(name_);
}

WorkDirectory::~WorkDirectory() {
  try {
    if (in_memory_) umount2(bundles_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    remove_tree_at(parent_.get(), name_);
  } catch (const Error&) {
    return;  // the next build does it
  }
}

void WorkDirectory::set_runtime(const RuntimeCall& runtime) const {
  std::string text = runtime.runtime + '\n';
  for (const std::string& word : runtime.arguments) text += word + '\n';
  write_file_atomic(own_.get(), runtime_file, text);
}

}  // namespace kiln::solve
