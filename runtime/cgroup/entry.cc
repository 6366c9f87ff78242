// How processes get in: CgroupEntry, Cgroup::entry, entry_of and attach.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/hierarchy.hh"
#include "runtime/cgroup/state.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/fd_batch.hh"

namespace vessel {

namespace {

Fd open_dir(const std::string& dir) {
  Fd fd(::open(dir.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  if (!fd) throw SysError("open cgroup " + dir);
  return fd;
}

Fd open_for_entry(const std::string& dir, std::string_view file) {
  Fd fd = try_open_cgroup(dir, file, O_WRONLY);
  if (!fd) throw SysError("open " + dir + "/" + std::string(file));
  return fd;
}

void enter_by(const Fd& file, std::string_view hierarchy) {
  if (::write(file.get(), "0", 1) == 1) return;
  int error = errno;
  throw SysError("enter cgroup hierarchy " + std::string(hierarchy.empty() ? "v2" : hierarchy),
                 error);
}

// The mount point above a cgroup directory: the outermost one on the same device.
std::string mount_of(std::string dir) {
  struct stat here {};
  // It may be gone, and those above it too: the mount itself is not.
  while (::stat(dir.c_str(), &here) < 0) {
    if (errno != ENOENT || dir.rfind('/') == 0) throw SysError("stat " + dir);
    dir.erase(dir.rfind('/'));
  }
  for (;;) {
    std::string parent = dir.substr(0, dir.rfind('/'));
    struct stat above {};
    if (parent.empty() || ::stat(parent.c_str(), &above) < 0 || above.st_dev != here.st_dev)
      return dir;
    dir = std::move(parent);
  }
}

// `--cgroup` of exec: for all hierarchies, or for those of the named controllers.
struct Below {
  std::map<std::string, std::string> by_controller;
  std::string everywhere;
};

Below parse_below(const std::vector<std::string>& entries) {
  Below below;
  for (const std::string& entry : entries) {
    size_t colon = entry.find(':');
    std::string path = colon == std::string::npos ? entry : entry.substr(colon + 1);
    for (std::string_view part : split(path, "/"))
      if (part == "..") throw Error("--cgroup " + entry + ": must not contain \"..\"");
    std::string clean;
    for (std::string_view part : split(path, "/"))
      if (part != ".") clean += "/" + std::string(part);
    if (colon == std::string::npos)
      below.everywhere = clean;
    else if (colon == 0)
      below.by_controller[""] = clean;  // the v2 hierarchy, whose key is empty
    else
      for (std::string_view controller : split(entry.substr(0, colon), ","))
        below.by_controller[std::string(controller)] = clean;
  }
  return below;
}

// A path for what the container is in none of would be ignored, and the process run elsewhere.
void require_hierarchies(const Below& below, const std::map<std::string, std::string>& paths) {
  for (const auto& [controller, path] : below.by_controller) {
    const bool there = std::ranges::any_of(paths, [&](const auto& of_container) {
      const std::string& key = of_container.first;
      return key.empty() ? controller.empty() : hierarchy_has(key, controller);
    });
    if (there) continue;
    throw Error(controller.empty()
                    ? std::string("--cgroup: the container is in no cgroup v2 hierarchy")
                    : "--cgroup: the container is in no cgroup v1 hierarchy of " + controller);
  }
}

std::string find_below(const Below& below, std::string_view key) {
  for (const auto& [controller, path] : below.by_controller)
    if (key.empty() ? controller.empty() : hierarchy_has(key, controller)) return path;
  return below.everywhere;
}

}  // namespace

// There is a descriptor for each hierarchy, with neighbouring numbers: closed together.
CgroupEntry::~CgroupEntry() {
  FdBatch batch;
  for (auto& [key, file] : v1_tasks_) batch.add(std::move(file));
}

void CgroupEntry::enter(bool v2_too) const {
  if (v2_procs_ && (v2_too || v2_move_)) {
    enter_by(v2_procs_, "");
  } else if (v2_too && v2_dir_) {
    Fd procs(::openat(v2_dir_.get(), "cgroup.procs", O_WRONLY | O_CLOEXEC));
    if (!procs) throw SysError("open cgroup.procs");
    enter_by(procs, "");
  }
  for (const auto& [key, file] : v1_tasks_) enter_by(file, key);
}

CgroupEntry Cgroup::entry(const std::vector<std::string>& below_list) {
  Below below = parse_below(below_list);
  require_hierarchies(below, state_->record.paths);
  CgroupEntry entry;
  for (const auto& [key, base] : state_->record.paths) {
    std::string dir = base + find_below(below, key);
    if (key.empty()) {
      const std::string& delegate = state_->record.delegate;
      const std::string inner = dir + "/" + delegate;
      const bool delegated = !delegate.empty() && below_list.empty();
      // Who joins later goes there at once, unless the container took it away.
      if (delegated && state_->opened && ::access(inner.c_str(), F_OK) == 0) {
        entry.v2_dir_ = open_dir(inner);
        continue;
      }
      entry.v2_dir_ = open_dir(dir);
      if (delegated && !state_->opened) {
        // Cloned into the cgroup that carries the limits, so that a new cgroup namespace starts
        // there, then moved on into the one that the container manages.
        entry.v2_procs_ = open_for_entry(inner, "cgroup.procs");
        entry.v2_move_ = true;
      }
    } else {
      entry.v1_tasks_.emplace_back(key, open_for_entry(dir, "tasks"));
    }
  }
  return entry;
}

CgroupEntry Cgroup::entry_of(pid_t pid) {
  auto process = cgroups_of(std::to_string(pid));
  CgroupEntry entry;
  for (const auto& [key, base] : state_->record.paths) {
    std::string dir = directory_in({key, mount_of(base), "/"}, process);
    if (dir.empty()) dir = base;
    if (key.empty())
      entry.v2_dir_ = open_dir(dir);
    else
      entry.v1_tasks_.emplace_back(key, open_for_entry(dir, "tasks"));
  }
  return entry;
}

void Cgroup::attach(pid_t pid) {
  for (const auto& [key, dir] : state_->record.paths)
    write_cgroup(dir, "cgroup.procs", std::to_string(pid));
}

}  // namespace vessel
