// Cgroup::apply, apply_devices and update: the lists of writes performed.
#include <fcntl.h>

#include <algorithm>

#include "runtime/cgroup/device_program.hh"
#include "runtime/cgroup/device_rules.hh"
#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/state.hh"
#include "runtime/cgroup/systemd_unit.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/fd_batch.hh"

namespace vessel {

namespace {

[[noreturn]] void fail(const CgroupWrite& write, const std::string& dir, int error) {
  const std::string text = write.json_path + ": write " + write.value + " to " + write.file;
  if (error == ENOENT) throw Error(text + ": this kernel has no such file for the cgroup");
  if (error == EBUSY && write.file == "memory.limit_in_bytes") {
    // The kernel could not free enough: say how much is in use.
    auto usage = try_read_cgroup(dir, "memory.usage_in_bytes");
    auto peak = try_read_cgroup(dir, "memory.max_usage_in_bytes");
    throw Error(text + ": unable to set memory limit to " + write.value +
                " (current usage: " + std::string(usage ? trim(*usage) : "?") +
                ", peak usage: " + std::string(peak ? trim(*peak) : "?") + ")");
  }
  throw SysError(text, error);
}

// Writes to one file after another with one open: device rules are a line a write.
class OpenFile {
 public:
  int write(const std::string& dir, const CgroupWrite& write) {
    std::string path = dir + "/" + write.file;
    if (!fd_ || path != path_) {
      done_.add(std::move(fd_));
      fd_ = try_open_cgroup(dir, write.file, O_WRONLY);
      if (!fd_) return errno;
      path_ = std::move(path);
    }
    return ::write(fd_.get(), write.value.data(), write.value.size()) < 0 ? errno : 0;
  }

 private:
  FdBatch done_;
  Fd fd_;
  std::string path_;
};

// `dir_of` gives the directory of a write's controller.
template <typename DirOf>
void perform(const std::vector<CgroupWrite>& writes, DirOf dir_of) {
  std::vector<const CgroupWrite*> again;
  OpenFile file;
  for (const CgroupWrite& write : writes) {
    const std::string* dir = dir_of(write);
    int error = dir ? file.write(*dir, write) : ENOENT;
    if (error == 0) continue;
    if (error == ENOENT && write.rule == WriteRule::if_present) continue;
    if (error == EINVAL && write.rule == WriteRule::retry_last)
      again.push_back(&write);
    else
      fail(write, dir ? *dir : std::string(), error);
  }
  for (const CgroupWrite* write : again) {
    const std::string* dir = dir_of(*write);
    if (int error = try_write_cgroup(*dir, write->file, write->value)) fail(*write, *dir, error);
  }
}

// Of quota and period the one that is not given (0) as the kernel has it.
void complete_quota(const std::string* v1, const std::string* v2, oci::CpuLimits& cpu) {
  const bool quota = cpu.quota.value_or(0) != 0, period = cpu.period.value_or(0) != 0;
  if (quota == period) return;
  std::string now;
  if (v1 != nullptr) {
    const auto file = try_read_cgroup(*v1, quota ? "cpu.cfs_period_us" : "cpu.cfs_quota_us");
    now = file ? trim(*file) : "";
  } else if (v2 != nullptr) {
    const auto file = try_read_cgroup(*v2, "cpu.max");
    const auto parts = file ? split(*file, " \n") : std::vector<std::string_view>{};
    if (parts.size() == 2) now = parts[quota ? 1 : 0];
  }
  const auto value = parse_counter(now);
  if (quota && value)
    cpu.period = *value;
  else if (!quota && value && *value != UINT64_MAX)
    cpu.quota = static_cast<int64_t>(*value);
  else if (!quota && (now == "max" || now == "-1"))
    cpu.quota = -1;
}

// `directory`: that of `path` where it is open, or -1. `fresh`: no program can be there yet.
void filter_devices(const NormalRules& rules, const std::string& path, int directory, bool fresh) {
  try {
    Fd own;
    if (directory < 0) {
      own = Fd(::open(path.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC));
      if (!own) throw SysError("open cgroup " + path);
      directory = own.get();
    }
    Fd program = load_device_program(device_program(rules));
    attach_device_program(directory, program.get(), fresh);
  } catch (SysError& error) {
    error.prepend("linux.resources.devices");
    throw;
  }
}

}  // namespace

void Cgroup::apply(const oci::Resources& given) {
  if (none() && !state_->unit) {
    // Throws when something is asked for that a container without a cgroup cannot have.
    CgroupView nothing{[](std::string_view) { return ControllerAt::nowhere; },
                       [](std::string_view, std::string_view) { return std::nullopt; }, true};
    resource_writes(given, nothing);
    return;
  }
  if (state_->unit) state_->unit->set_resources(given, state_->warnings);
  oci::Resources rounded;
  if (!state_->record.unit.empty()) rounded = rounded_for_systemd(given);
  const oci::Resources& resources = state_->record.unit.empty() ? given : rounded;
  CgroupView view{
      [&](std::string_view controller) { return state_->where(controller); },
      [&](std::string_view controller, std::string_view file) -> std::optional<std::string> {
        const std::string* dir = state_->dir_of(controller);
        auto text = dir ? try_read_cgroup(*dir, file) : std::unexpected(ENOENT);
        if (!text) return {};
        return std::move(*text);
      },
      state_->fresh};
  CgroupWrites list = resource_writes(resources, view);
  perform(list.writes, [&](const CgroupWrite& write) {
    return write.v2 ? state_->v2_dir() : state_->v1_dir(write.controller);
  });
  std::ranges::move(list.warnings, std::back_inserter(state_->warnings));
}

void Cgroup::update(const oci::Resources& change) {
  if (!state_->record.unit.empty() && !state_->unit)
    state_->unit = SystemdUnit::existing(state_->record.unit, state_->record.user_bus,
                                         state_->v2_dir() && state_->record.paths.size() == 1);
  oci::Resources limits = change;
  limits.devices.clear();  // CRI sends them; the rules of a container are fixed when it is made
  if (!state_->record.unit.empty()) {
    // systemd sets whole values: what is not named has to be said as it is.
    if (limits.cpu) complete_quota(state_->v1_dir("cpu"), state_->v2_dir(), *limits.cpu);
    if (limits.pids && limits.pids->limit == 0) limits.pids.reset();
  }
  apply(limits);
}

void Cgroup::apply_devices(const oci::Resources& resources, int directory) {
  if (none() || resources.devices.empty()) return;
  NormalRules rules = normal_rules(resources.devices);
  const std::string* v1 = state_->v1_dir("devices");
  if (!v1 && !state_->v2_dir()) return;
  try {
    if (v1)
      perform(device_writes_v1(rules), [&](const CgroupWrite&) { return v1; });
    else
      filter_devices(rules, *state_->v2_dir(), directory, state_->made.contains(""));
  } catch (const SysError& error) {
    // Neither devices.deny nor bpf(2) is for user namespaces, where mknod of devices is refused
    // anyway. As runc: who says `--rootless` does without.
    if (state_->rootless && (error.code() == EPERM || error.code() == EACCES)) return;
    throw;
  }
}

}  // namespace vessel
