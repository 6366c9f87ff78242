#include "builder/snapshot/in_place_root.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "builder/layer/tree.hh"
#include "builder/snapshot/changes.hh"
#include "builder/snapshot/copy_tree.hh"
#include "builder/snapshot/remove_files.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

constexpr int directory_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr size_t mountinfo_limit = size_t{16} << 20;
// Where directories go that stand in an image's way and cannot be removed.
constexpr const char* aside = ".kiln-aside";

// What a container engine mounts is nothing that an image could bring: it is left out unseen.
// The last two are what a container is known by, also to the next command.
constexpr std::string_view engine_places[] = {
    "proc",         "sys",      "dev",        "etc/resolv.conf",  "etc/hosts",
    "etc/hostname", "etc/mtab", ".dockerenv", "run/.containerenv"};

bool is_engine_place(std::string_view path) {
  return std::ranges::any_of(engine_places, [&](std::string_view place) {
    return path == place || (path.starts_with(place) && path[place.size()] == '/');
  });
}

Fd open_directory(int parent, const std::string& name, const std::string& path) {
  Fd fd(::openat(parent, name.c_str(), directory_flags));
  if (!fd) throw SysError("open /" + path);
  return fd;
}

// Spaces and the like are octal escapes there.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> mount_points() {
  const std::string text = read_file_at(AT_FDCWD, "/proc/self/mountinfo", mountinfo_limit);
  std::vector<std::string> points;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    // 36 35 98:0 /mnt1 /mnt2 …: the fifth is the mount point.
    for (int field = 0; field < 4; ++field)
      line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
    std::string point = unescape(line.substr(0, line.find(' ')));
    if (point != "/") points.push_back(std::move(point));
  }
  return points;
}

InPlaceRoot::InPlaceRoot(const std::string& root, std::vector<KeptPath> kept)
    : root_(::open(root.c_str(), directory_flags)), path_(root), own_(std::move(kept)) {
  struct stat status {};
  if (!root_ || ::fstat(root_.get(), &status) != 0) throw SysError("open " + root);
  device_ = status.st_dev;
  read_kept();
}

void InPlaceRoot::read_kept() {
  const std::string prefix = path_ == "/" ? "/" : path_ + "/";
  kept_.clear();
  leading_.clear();
  for (const std::string& point : mount_points())
    if (point.starts_with(prefix)) kept_[point.substr(prefix.size())] = "";
  for (const char* sign : {".dockerenv", "run/.containerenv"})
    if (::faccessat(root_.get(), sign, F_OK, AT_SYMLINK_NOFOLLOW) == 0) kept_[sign] = "";
  for (const KeptPath& own : own_) {
    if (!own.path.starts_with(prefix)) continue;
    if (own.path == prefix) throw Error(own.what + " cannot be the whole root directory");
    kept_[own.path.substr(prefix.size())] = own.what;
  }
  for (const auto& [path, what] : kept_)
    for (std::string_view up = parent_path(path); !up.empty(); up = parent_path(up))
      leading_.emplace(up);
}

void InPlaceRoot::make_room_for(const MergedIndex& image) {
  read_kept();
  for (const std::string& path : leading_) {
    const auto found = image.lookup(path);
    if (found && found->type != FileType::directory) {
      move_aside(path);
      return make_room_for(image);
    }
  }
  for (const auto& [path, what] : kept_) {
    if (is_engine_place(path) && what.empty()) continue;
    const auto found = image.lookup(path);
    const bool harmless =
        !found ||
        (what.empty() && (found->type != FileType::directory || image.list(path).empty()));
    if (!harmless)
      throw Error("the image has /" + path + ", which here is " +
                  (what.empty() ? "a mount point of this container" : what) +
                  " and stays out of the build: put that elsewhere");
  }
}

void InPlaceRoot::move_aside(const std::string& path) {
  for (const auto& [kept, what] : kept_)
    if (kept.starts_with(path + "/") && !what.empty())
      throw Error("the image has /" + path + ", no directory, and /" + kept + " is " + what +
                  ": put that elsewhere");
  // A directory may be renamed while something is mounted below it, only the mount point itself
  // may not (rename(2), EBUSY).
  make_dir_at(root_.get(), aside, 0755);
  const std::string target = std::string(aside) + "/" + random_name();
  if (::renameat(root_.get(), path.c_str(), root_.get(), target.c_str()) != 0)
    throw SysError("move /" + path + " aside, which the image has as no directory");
}

void InPlaceRoot::empty() {
  read_kept();
  holds_.clear();
  empty_directory(root_.get(), "");
  for (const auto& [name, value] : read_xattrs(root_.get(), XattrFilter::tree, nullptr))
    if (::fremovexattr(root_.get(), name.c_str()) != 0) throw SysError("remove xattr " + name);
  if (::fchown(root_.get(), 0, 0) != 0 || ::fchmod(root_.get(), 0755) != 0)
    throw SysError("prepare the root directory");
}

void InPlaceRoot::empty_directory(int directory, const std::string& path) {
  for (const std::string& name : list_directory(directory)) {
    const std::string at = join_path(path, name);
    if (is_kept(at)) continue;
    struct stat status {};
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (status.st_dev != device_ && S_ISDIR(status.st_mode))
      throw Error("/" + at + " is on another filesystem and was not mounted when this began");
    if (leads_to_kept(at) && S_ISDIR(status.st_mode))
      empty_directory(open_directory(directory, name, at).get(), at);
    else
      remove_tree_at(directory, name);
  }
}

// Whether the entry would take away a directory that leads to something kept: what it stands for is
// then done here. That a directory is there in the end is make_room_for()'s to know.
bool InPlaceRoot::replaces_what_leads(const Entry& entry) {
  if (!leads_to_kept(entry.path) || entry.type == FileType::directory) return false;
  const Fd fd(::openat(root_.get(), entry.path.c_str(), directory_flags));
  if (fd) empty_directory(fd.get(), entry.path);
  return true;
}

void InPlaceRoot::apply(ByteSource& tar) {
  holds_.clear();
  ApplyOptions options;
  options.skip = [this](const Entry& entry) {
    for (std::string_view up = entry.path; !up.empty(); up = parent_path(up))
      if (is_kept(std::string(up))) return true;
    return replaces_what_leads(entry);
  };
  apply_tar(tar, root_.get(), options);
}

void InPlaceRoot::settle() {
  directories_.clear();
  std::set<std::pair<uint64_t, uint64_t>> seen;
  settle_directory(root_.get(), "", seen);
  // The clock that filesystems stamp with: whatever is touched from here on is not older.
  timespec now{};
  if (::clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0) throw SysError("clock_gettime");
  settled_at_ns_ = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void InPlaceRoot::settle_directory(int directory, const std::string& path,
                                   std::set<std::pair<uint64_t, uint64_t>>& seen) {
  struct stat status {};
  if (::fstat(directory, &status) != 0) throw SysError("stat /" + path);
  directories_[path] = status.st_ino;
  for (const std::string& name : list_directory(directory)) {
    const std::string at = join_path(path, name);
    if (is_kept(at)) continue;
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      throw SysError("stat /" + at);
    if (S_ISDIR(status.st_mode))
      settle_directory(open_directory(directory, name, at).get(), at, seen);
    else if (S_ISREG(status.st_mode) && status.st_nlink > 1 &&
             !seen.emplace(status.st_dev, status.st_ino).second)
      break_hard_link(directory, name);
  }
}

ChangeStats InPlaceRoot::changes(const MergedIndex& before, LayerWriter& writer,
                                 ChangeOptions options) {
  read_kept();
  for (const auto& [path, what] : kept_) options.excluded_paths.insert(path);
  options.excluded_paths.insert(aside);
  options.leading_directories = leading_;
  ChangeSource source{};
  source.upper = root_.get();
  source.overlay = false;
  source.index = &before;
  source.copied_at_ns = settled_at_ns_;
  source.copied_directories = directories_;
  return find_changes(source, options, [&](const Change& change) {
    if (change.content >= 0)
      writer.add(change.entry, change.content);
    else
      writer.add(change.entry);
    if (!options.clamp_mtime || change.entry.type == FileType::whiteout ||
        change.entry.mtime != *options.clamp_mtime)
      return;
    const struct timespec clamped { *options.clamp_mtime, 0 };
    const struct timespec times[2] = {clamped, clamped};
    if (::utimensat(change.directory, change.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      throw SysError("set time of /" + change.entry.path);
  });
}

size_t InPlaceRoot::remove_left_files(const std::set<FileId>& files) {
  if (files.empty()) return 0;
  read_kept();
  return remove_files(root_.get(), files,
                      [this](const std::string& path) { return is_kept(path); });
}

}  // namespace kiln
