#include "runtime/cgroup/cgroup.hh"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/hierarchy.hh"
#include "runtime/cgroup/state.hh"
#include "runtime/cgroup/systemd_unit.hh"
#include "runtime/sys/error.hh"

namespace vessel {

Cgroup::State::State() = default;

Cgroup::State::~State() {
  // Creation failed half-way: nothing of it stays. The unit's destructor stops the unit.
  if (!creating) return;
  for (auto dir = made_dirs.rbegin(); dir != made_dirs.rend(); ++dir) ::rmdir(dir->c_str());
}

const std::string* Cgroup::State::v1_dir(std::string_view controller) const {
  for (const auto& [key, dir] : record.paths)
    if (!key.empty() && hierarchy_has(key, controller)) return &dir;
  return nullptr;
}

const std::string* Cgroup::State::v2_dir() const {
  auto it = record.paths.find("");
  return it == record.paths.end() ? nullptr : &it->second;
}

const std::set<std::string, std::less<>>& Cgroup::State::controllers_v2() {
  if (!v2_controllers) {
    v2_controllers.emplace();
    if (const std::string* dir = v2_dir())
      if (auto text = try_read_cgroup(*dir, "cgroup.controllers"))
        for (std::string_view word : split(*text, " \n")) v2_controllers->emplace(word);
  }
  return *v2_controllers;
}

ControllerAt Cgroup::State::where(std::string_view controller) {
  if (controller.empty()) return v2_dir() ? ControllerAt::v2 : ControllerAt::nowhere;
  if (v1_dir(controller)) return ControllerAt::v1;
  return controllers_v2().contains(controller) ? ControllerAt::v2 : ControllerAt::nowhere;
}

const std::string* Cgroup::State::dir_of(std::string_view controller) {
  switch (where(controller)) {
    case ControllerAt::v1:
      return v1_dir(controller);
    case ControllerAt::v2:
      return v2_dir();
    case ControllerAt::nowhere:
      break;
  }
  return nullptr;
}

Cgroup::Cgroup() : state_(std::make_unique<State>()) {}
Cgroup::Cgroup(std::unique_ptr<State> state) : state_(std::move(state)) {}
Cgroup::~Cgroup() = default;
Cgroup::Cgroup(Cgroup&&) noexcept = default;
Cgroup& Cgroup::operator=(Cgroup&&) noexcept = default;

Cgroup Cgroup::open(CgroupRecord record) {
  auto state = std::make_unique<State>();
  state->record = std::move(record);
  state->opened = true;
  return Cgroup(std::move(state));
}

const CgroupRecord& Cgroup::record() const {
  return state_->record;
}

std::vector<std::string> Cgroup::take_warnings() {
  return std::exchange(state_->warnings, {});
}

bool Cgroup::in_every_hierarchy() const {
  return state_->complete;
}

void Cgroup::give_to(uid_t uid, gid_t gid) {
  const std::string* v2 = state_->v2_dir();
  if (!v2) return;
  // With a delegated sub-cgroup that one is the container's.
  const std::string& delegate = state_->record.delegate;
  std::string dir = delegate.empty() ? *v2 : *v2 + "/" + delegate;
  if (::chown(dir.c_str(), uid, gid) < 0) throw SysError("chown " + dir);
  auto listed = try_read_cgroup("/sys/kernel/cgroup", "delegate");
  // cgroups(7), for kernels before 4.15.
  std::string names = listed ? *listed : "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";
  for (std::string_view name : split(names, "\n")) {
    std::string file = dir + "/" + std::string(name);
    if (::chown(file.c_str(), uid, gid) < 0 && errno != ENOENT) throw SysError("chown " + file);
  }
}

void Cgroup::init_is_in() {
  if (state_->unit) state_->unit->release();
}

std::optional<uint64_t> Cgroup::oom_kills() {
  const std::string* dir = state_->dir_of("memory");
  if (!dir) return {};
  bool v1 = state_->where("memory") == ControllerAt::v1;
  auto text = try_read_cgroup(*dir, v1 ? "memory.oom_control" : "memory.events");
  return text ? keyed_value(*text, "oom_kill") : std::nullopt;
}

Fd Cgroup::oom_events() {
  const std::string* dir = state_->dir_of("memory");
  if (!dir) return Fd();
  if (state_->where("memory") == ControllerAt::v2) {
    Fd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!fd) throw SysError("inotify_init1");
    std::string file = *dir + "/memory.events";
    if (::inotify_add_watch(fd.get(), file.c_str(), IN_MODIFY) < 0) throw SysError("watch " + file);
    return fd;
  }
  // cgroup-v1/memory.txt "OOM Control": an eventfd, registered together with the file it is about.
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throw SysError("eventfd");
  Fd control = try_open_cgroup(*dir, "memory.oom_control", O_RDONLY);
  if (!control) throw SysError("open " + *dir + "/memory.oom_control");
  write_cgroup(*dir, "cgroup.event_control",
               std::to_string(fd.get()) + " " + std::to_string(control.get()));
  return fd;
}

}  // namespace vessel
