#include "builder/store/volumes.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "builder/snapshot/copy_tree.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

constexpr const char* data_name = "_data";
constexpr const char* record_name = "volume.json";
constexpr size_t volume_record_limit = size_t{64} << 10;

std::vector<std::string> volume_names_in(int directory) {
  std::vector<std::string> names;
  Fd copy(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) throw SysError("open volumes");
  DIR* stream = fdopendir(copy.get());
  if (stream == nullptr) throw SysError("read volumes");
  copy.release();
  const std::unique_ptr<DIR, int (*)(DIR*)> closer(stream, closedir);
  while (const dirent* entry = readdir(stream)) names.emplace_back(entry->d_name);
  std::erase_if(names, [](const std::string& n) { return n == "." || n == ".."; });
  std::ranges::sort(names);
  return names;
}

std::string time_text() {
  const time_t now = time(nullptr);
  tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

std::string volume_thing(const std::string& name) {
  return "volume:" + name;
}

void check_volume_name(const std::string& name) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const auto fine = [&](char c) { return alphanumeric(c) || c == '_' || c == '.' || c == '-'; };
  if (name.empty() || name.size() > 255 || !alphanumeric(name[0]) ||
      !std::ranges::all_of(name, fine))
    throw Error("volume '" + name +
                "': a name has letters, digits and _ . -, and begins with a letter or digit");
}

Volumes::Volumes(const Store& store)
    : store_(store),
      path_(store.sub_directory("volumes")),
      directory_(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!directory_) throw SysError("open " + path_);
}

Volume Volumes::open_or_create(const std::string& name, bool anonymous) {
  check_volume_name(name);
  if (const auto volume = find(name)) return *volume;
  const std::string fresh = ".new-" + random_name();
  make_dir_at(directory_.get(), fresh, 0700);
  const Fd made = open_dir_at(directory_.get(), fresh);
  const nlohmann::json record = {{"created", time_text()}, {"anonymous", anonymous}};
  write_file_atomic(made.get(), record_name, record.dump());
  // The container's users reach it through the mount only; the directory above is 0700.
  make_dir_at(made.get(), data_name, 0755);
  if (fchmodat(made.get(), data_name, 0755, 0) != 0) throw SysError("chmod volume " + name);
  if (renameat(directory_.get(), fresh.c_str(), directory_.get(), name.c_str()) != 0) {
    const int error = errno;
    remove_tree_at(directory_.get(), fresh);
    // Another process was quicker.
    if (error != EEXIST && error != ENOTEMPTY) throw SysError("create volume " + name, error);
  }
  const auto volume = find(name);
  if (!volume) throw Error("volume " + name + ": was removed at once");
  return *volume;
}

std::optional<Volume> Volumes::find(const std::string& name) const {
  if (name.empty() || name[0] == '.' || name.find('/') != name.npos) return std::nullopt;
  const Fd directory(
      openat(directory_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory) return std::nullopt;
  const auto text = try_read_file_at(directory.get(), record_name, volume_record_limit);
  const auto record = nlohmann::json::parse(text.value_or(""), nullptr, false);
  Volume volume{name, path_ + "/" + name + "/" + data_name, "", false};
  if (record.is_object()) {
    volume.created = record.value("created", "");
    volume.anonymous = record.value("anonymous", false);
  }
  return volume;
}

std::vector<Volume> Volumes::list() const {
  std::vector<Volume> all;
  for (const std::string& name : volume_names_in(directory_.get()))
    if (auto volume = find(name)) all.push_back(std::move(*volume));
  return all;
}

std::vector<std::string> Volumes::users(const std::string& name) const {
  std::vector<std::string> users;
  for (const BundleLease& lease : bundle_leases(store_.records()))
    if (std::ranges::find(lease.held, volume_thing(name)) != lease.held.end())
      users.push_back(lease.container.empty() ? "bundle " + lease.directory
                                              : "container " + lease.container);
  return users;
}

// Out of sight first, so that a crash leaves no half of a volume.
void Volumes::discard(const std::string& name) {
  const std::string trash = ".old-" + random_name();
  if (renameat(directory_.get(), name.c_str(), directory_.get(), trash.c_str()) != 0)
    throw SysError("remove volume " + name);
  remove_tree_at(directory_.get(), trash);
}

void Volumes::remove(const std::string& name) {
  const CollectLock lock(store_.records(), CollectLock::Mode::exclusive);
  if (!find(name)) throw Error("no volume '" + name + "' in store " + store_.path());
  if (const auto by = users(name); !by.empty())
    throw Error("volume " + name + " is in use by " + by[0] +
                (by.size() > 1 ? " and " + std::to_string(by.size() - 1) + " more" : "") +
                "; delete that first");
  discard(name);
}

std::vector<std::string> Volumes::prune(bool all) {
  const CollectLock lock(store_.records(), CollectLock::Mode::exclusive);
  std::vector<std::string> removed;
  for (const Volume& volume : list()) {
    if ((!volume.anonymous && !all) || !users(volume.name).empty()) continue;
    discard(volume.name);
    removed.push_back(volume.name);
  }
  // What crashes left; under this lock nobody is making one (open_or_create runs under the shared
  // one).
  for (const std::string& name : volume_names_in(directory_.get()))
    if (name[0] == '.') remove_tree_at(directory_.get(), name);
  return removed;
}

bool Volumes::fill(const std::string& name, int from) {
  const Fd volume = open_dir_at(directory_.get(), name);
  while (flock(volume.get(), LOCK_EX) != 0)
    if (errno != EINTR) throw SysError("lock volume " + name);
  {
    const Fd data = open_dir_at(volume.get(), data_name);
    if (!volume_names_in(data.get()).empty()) return false;
  }
  const std::string fresh = ".fill-" + random_name();
  make_dir_at(volume.get(), fresh, 0700);
  try {
    copy_tree(from, open_dir_at(volume.get(), fresh).get());
    // Takes the place of the empty directory.
    if (renameat(volume.get(), fresh.c_str(), volume.get(), data_name) != 0)
      throw SysError("fill volume " + name);
  } catch (...) {
    remove_tree_at(volume.get(), fresh);
    throw;
  }
  return true;
}

}  // namespace kiln
