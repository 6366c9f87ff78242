#include "runtime/container/state.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "runtime/container/exec_fifo.hh"
#include "runtime/container/id.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

constexpr const char* state_name = "state.json";
constexpr const char* config_name = "config.json";

void make_directories(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return;
  if (errno != ENOENT) throw SysError("mkdir " + path);
  size_t slash = path.find_last_not_of('/');
  slash = slash == std::string::npos ? slash : path.rfind('/', slash);
  if (slash == std::string::npos || slash == 0) throw SysError("mkdir " + path, ENOENT);
  make_directories(path.substr(0, slash));
  if (::mkdir(path.c_str(), 0700) < 0 && errno != EEXIST) throw SysError("mkdir " + path);
}

bool linked(int dir) {
  struct stat st {};
  return ::fstat(dir, &st) == 0 && st.st_nlink > 0;
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using DirStream = std::unique_ptr<DIR, DirCloser>;

// Everything below `dir`; the tree is vessel's own (0700), and links are not followed.
void remove_below(int dir) {
  Fd copy = open_file(dir, ".", O_RDONLY | O_DIRECTORY);
  DirStream stream(::fdopendir(copy.get()));
  if (!stream) return;
  copy.release();
  while (dirent* entry = ::readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (::unlinkat(dir, name.c_str(), 0) == 0 || (errno != EISDIR && errno != EPERM)) continue;
    Fd below = try_open_file(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (below) remove_below(below.get());
    ::unlinkat(dir, name.c_str(), AT_REMOVEDIR);
  }
}

}  // namespace

uint64_t own_pid_namespace() {
  struct stat st {};
  return ::stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

namespace {

std::string read_boot_id() {
  Fd fd = open_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY);
  char text[64];
  ssize_t got = ::read(fd.get(), text, sizeof text);
  if (got <= 0) throw SysError("read boot_id");
  std::string_view id(text, static_cast<size_t>(got));
  return std::string(id.substr(0, id.find('\n')));
}

}  // namespace

const std::string& boot_id() {
  static const std::string id = read_boot_id();
  return id;
}

StateDir::StateDir(std::string root, std::string id, Fd dir)
    : root_(std::move(root)), id_(std::move(id)), path_(root_ + "/" + id_), dir_(std::move(dir)) {}

StateDir StateDir::create(const std::string& root, const std::string& id) {
  check_id(id);
  const std::string path = root + "/" + id;
  int made = ::mkdir(path.c_str(), 0700);
  if (made < 0 && errno == ENOENT) {
    make_directories(root);
    made = ::mkdir(path.c_str(), 0700);
  }
  if (made < 0 && errno == EEXIST) throw Error("container with given ID already exists");
  if (made < 0) throw SysError("mkdir " + path);
  return StateDir(root, id, open_file(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
}

std::optional<StateDir> StateDir::try_open(const std::string& root, const std::string& id) {
  check_id(id);
  const std::string path = root + "/" + id;
  Fd dir = try_open_file(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return std::nullopt;
  if (!dir) throw SysError("open " + path);
  return StateDir(root, id, std::move(dir));
}

StateDir StateDir::open(const std::string& root, const std::string& id) {
  auto dir = try_open(root, id);
  if (!dir) throw Error("container does not exist");
  return std::move(*dir);
}

std::optional<StateRecord> StateDir::try_read() const {
  auto text = try_read_file(dir_.get(), state_name);
  if (!text) return std::nullopt;
  return read_state_record(*text, path_ + "/" + state_name);
}

void StateDir::write(const StateRecord& record) const {
  try {
    replace_file(dir_.get(), state_name, write_state(record), 0600);
  } catch (const SysError& e) {
    if (e.code() == ENOENT && !linked(dir_.get()))
      throw Error("the container was deleted while it was being created");
    throw;
  }
}

std::string StateDir::read_config() const {
  return read_file(dir_.get(), config_name);
}

void StateDir::write_config(std::string_view json) const {
  Fd fd = open_file(dir_.get(), config_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  write_all(fd.get(), json, config_name);
}

void StateDir::remove() {
  // The common content first, without listing the directory; whatever else there is, only then.
  for (const char* name : {state_name, config_name, exec_fifo_name})
    ::unlinkat(dir_.get(), name, 0);
  if (::rmdir(path_.c_str()) == 0 || errno == ENOENT) return;
  if (errno == ENOTEMPTY || errno == EEXIST) {
    remove_below(dir_.get());
    if (::rmdir(path_.c_str()) == 0 || errno == ENOENT) return;
  }
  throw SysError("rmdir " + path_);
}

StateDir::Lock::Lock(const StateDir& dir) : fd_(dir.fd()) {
  while (::flock(fd_, LOCK_EX) < 0)
    if (errno != EINTR) throw SysError("lock " + dir.path());
}

StateDir::Lock::~Lock() {
  ::flock(fd_, LOCK_UN);
}

bool StateDir::Lock::still_there() const {
  return linked(fd_);
}

std::vector<std::string> list_ids(const std::string& root) {
  std::vector<std::string> ids;
  DirStream stream(::opendir(root.c_str()));
  if (!stream) {
    if (errno == ENOENT) return ids;
    throw SysError("open " + root);
  }
  while (dirent* entry = ::readdir(stream.get()))
    if (entry->d_name[0] != '.' && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN))
      ids.emplace_back(entry->d_name);
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace vessel
