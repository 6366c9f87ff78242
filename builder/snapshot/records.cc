#include "builder/snapshot/records.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "builder/layer/tree.hh"
#include "builder/snapshot/overlay_mount.hh"
#include "builder/snapshot/snapshotter.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln {

namespace {

constexpr std::string_view version = "1";
constexpr size_t max_record = 4096;
constexpr size_t max_key = 128;

void check_key(const std::string& key) {
  const bool fine =
      !key.empty() && key.size() <= max_key && key.front() != '.' &&
      key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789:._-") == std::string::npos;
  if (!fine) throw Error("\"" + key + "\" cannot name a snapshot");
}

Fd make_and_open(int dir, const std::string& name) {
  make_dir_at(dir, name, 0711);
  return open_dir_at(dir, name);
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

}  // namespace

SnapshotRecords::SnapshotRecords(const std::string& directory) {
  make_dir_at(AT_FDCWD, directory, 0711);
  char* real = ::realpath(directory.c_str(), nullptr);
  if (real == nullptr) throw SysError("resolve " + directory);
  path_ = real;
  ::free(real);
  top_ = Fd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top_) throw SysError("open " + path_);
  trees_ = make_and_open(top_.get(), "s");
  keys_ = make_and_open(top_.get(), "k");
  leases_ = make_and_open(top_.get(), "l");
  mounts_ = make_and_open(top_.get(), "m");
  trash_ = make_and_open(top_.get(), "trash");
  boot_ = read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128);
  while (boot_.ends_with('\n')) boot_.pop_back();
  sweep();
}

std::optional<SnapshotRecord> SnapshotRecords::find(const std::string& key) const {
  check_key(key);
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = known_.find(key); known != known_.end()) return known->second;
  }
  const auto text = try_read_file_at(keys_.get(), key, max_record);
  if (!text) return std::nullopt;
  const std::vector<std::string> parts = lines(*text);
  if (parts.size() != 4 || parts[0] != version || parts[1] != boot_) return std::nullopt;
  SnapshotRecord record{parts[2] == "-" ? "" : parts[2], parts[3] == "-" ? "" : parts[3]};
  const std::lock_guard lock(mutex_);
  return known_.insert_or_assign(key, std::move(record)).first->second;
}

SnapshotRecord SnapshotRecords::get(const std::string& key) const {
  auto record = find(key);
  if (!record) throw Error("no snapshot " + key);
  return std::move(*record);
}

std::vector<std::string> SnapshotRecords::keys() const {
  {
    const std::lock_guard lock(mutex_);
    known_.clear();  // what is there now, also after other processes
  }
  std::vector<std::string> out = list_directory(keys_.get());
  std::erase_if(out, [this](const std::string& key) { return key.front() == '.' || !find(key); });
  return out;
}

bool SnapshotRecords::add(const std::string& key, const SnapshotRecord& record) {
  check_key(key);
  if (find(key)) return false;
  std::string text(version);
  for (const std::string& part : {boot_, record.tree, record.parent})
    text += "\n" + (part.empty() ? "-" : part);
  // A link instead of a rename: of two processes that come at once one loses, and knows.
  const std::string temporary = "." + random_name();
  write_file_atomic(keys_.get(), temporary, text, 0600);
  const int result = ::linkat(keys_.get(), temporary.c_str(), keys_.get(), key.c_str(), 0);
  const int error = errno;
  ::unlinkat(keys_.get(), temporary.c_str(), 0);
  if (result != 0 && error != EEXIST) throw SysError("record snapshot " + key, error);
  return result == 0;
}

void SnapshotRecords::remove(const std::string& key) {
  check_key(key);
  {
    const std::lock_guard lock(mutex_);
    known_.erase(key);
  }
  if (::unlinkat(keys_.get(), key.c_str(), 0) != 0 && errno != ENOENT)
    throw SysError("remove snapshot " + key);
}

std::vector<SnapshotRecords::Link> SnapshotRecords::links(const std::string& key) const {
  std::vector<Link> out;
  size_t steps = 0;
  for (std::string at = key; !at.empty();) {
    SnapshotRecord record = get(at);
    if (!record.tree.empty()) out.push_back({at, std::move(record.tree)});
    at = std::move(record.parent);
    if (++steps > 100'000) throw Error("snapshot " + key + " is its own ancestor");
  }
  return out;
}

std::vector<std::string> SnapshotRecords::chain(const std::string& key) const {
  std::vector<std::string> trees;
  for (Link& link : links(key)) trees.push_back(std::move(link.tree));
  return trees;
}

SnapshotRecords::Fresh SnapshotRecords::make_tree() {
  // Five characters: 127 of them fit mount(2)'s page several times over.
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const std::string name = random_name().substr(0, 5);
    struct stat status {};
    if (::fstatat(trees_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) continue;
    Fd lease(::openat(leases_.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!lease) {
      if (errno == EEXIST) continue;
      throw SysError("make a lease");
    }
    // A sweep may have taken the lease for a dead one before it was locked.
    struct stat held {};
    if (::flock(lease.get(), LOCK_EX | LOCK_NB) != 0 || ::fstat(lease.get(), &held) != 0 ||
        held.st_nlink == 0)
      continue;
    if (::mkdirat(trees_.get(), name.c_str(), 0755) != 0) {
      ::unlinkat(leases_.get(), name.c_str(), 0);
      if (errno == EEXIST) continue;
      throw SysError("make a tree");
    }
    if (::fchmodat(trees_.get(), name.c_str(), 0755, 0) != 0) throw SysError("change mode");
    return {name, std::move(lease)};
  }
  throw Error("no free name for a tree in " + path_);
}

void SnapshotRecords::release(Fresh& fresh) {
  if (!fresh.lease) return;
  ::unlinkat(leases_.get(), fresh.name.c_str(), 0);
  fresh.lease.reset();
}

void SnapshotRecords::to_trash(int directory, const std::string& name) {
  const std::string target = random_name();
  if (::renameat(directory, name.c_str(), trash_.get(), target.c_str()) != 0 && errno != ENOENT)
    throw SysError("move " + name + " to trash");
}

void SnapshotRecords::discard_tree(const std::string& name) {
  to_trash(trees_.get(), name);
  to_trash(trees_.get(), name + ".w");
  to_trash(trees_.get(), name + ".d");
  to_trash(trees_.get(), name + ".i");
}

void SnapshotRecords::discard_work(const std::string& name) {
  to_trash(trees_.get(), name + ".w");
}

std::string SnapshotRecords::make_mount_point(const std::string& name) {
  make_dir_at(mounts_.get(), name, 0755);
  return path_ + "/m/" + name;
}

void SnapshotRecords::remove_mount_point(const std::string& name) {
  // Never recursive: if something is still mounted there this must fail, not delete.
  ::unlinkat(mounts_.get(), name.c_str(), AT_REMOVEDIR);
}

void SnapshotRecords::sweep() {
  for (const std::string& key : list_directory(keys_.get())) {
    const bool temporary = key.front() == '.';
    struct stat status {};
    if (temporary) {
      // Left by a process that died in add(); a live one needs it for an instant only.
      if (::fstatat(keys_.get(), key.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
          status.st_mtime < ::time(nullptr) - 60)
        ::unlinkat(keys_.get(), key.c_str(), 0);
      continue;
    }
    const auto text = try_read_file_at(keys_.get(), key, max_record);
    if (text && text->find("\n" + boot_ + "\n") == std::string::npos) {
      const std::vector<std::string> parts = lines(*text);
      ::unlinkat(keys_.get(), key.c_str(), 0);
      if (parts.size() == 4 && parts[2] != "-" && parts[2].find('/') == std::string::npos)
        discard_tree(mount_name(parts[2]));
    }
  }
  for (const std::string& name : list_directory(leases_.get())) {
    const Fd lease(::openat(leases_.get(), name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!lease || ::flock(lease.get(), LOCK_EX | LOCK_NB) != 0) continue;
    unmount(path_ + "/m/" + name);
    remove_mount_point(name);
    bool named = false;
    for (const std::string& key : keys()) named = named || mount_name(find(key)->tree) == name;
    if (!named) discard_tree(name);
    ::unlinkat(leases_.get(), name.c_str(), 0);
  }
}

void SnapshotRecords::empty_trash() {
  sweep();
  // Trees of removed keys go once no key and no lease names them.
  // In this order, so that a tree on its way from lease to record is seen in one of them.
  const std::vector<std::string> trees = list_directory(trees_.get());
  std::set<std::string> named;
  for (const std::string& name : list_directory(leases_.get())) named.insert(name);
  for (const std::string& key : keys())
    if (const auto record = find(key)) named.insert(mount_name(record->tree));
  for (const std::string& name : trees)
    if (!named.contains(mount_name(name))) to_trash(trees_.get(), name);
  for (const std::string& name : list_directory(trash_.get())) remove_tree_at(trash_.get(), name);
}

std::string snapshots_directory(Snapshotter::Kind kind) {
  return std::string(kind == Snapshotter::Kind::overlay ? "snapshots" : "snapshot-copies") +
         (mapped_ids() == 1 ? "-1" : "");
}

}  // namespace kiln
