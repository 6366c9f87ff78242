#include "runtime/cgroup/systemd_unit.hh"

#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdlib>

#include "runtime/cgroup/files.hh"
#include "runtime/cgroup/hierarchy.hh"
#include "runtime/sys/fd_batch.hh"

namespace vessel {

namespace {

constexpr int64_t job_patience_ms = 30'000;
constexpr const char* service = "org.freedesktop.systemd1";
constexpr const char* object = "/org/freedesktop/systemd1";

std::string environment(const char* name) {
  const char* value = ::secure_getenv(name);
  return value ? value : "";
}

std::string bus_address(bool user) {
  std::string address = environment(user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS");
  if (!address.empty()) return address;
  if (!user) return "unix:path=/run/dbus/system_bus_socket";
  std::string runtime_dir = environment("XDG_RUNTIME_DIR");
  if (runtime_dir.empty())
    throw Error(
        "the user's bus is not known: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set");
  return "unix:path=" + runtime_dir + "/bus";
}

// The bus compares with the credentials that the kernel shows it: the id outside of our user
// namespace.
uint32_t host_uid() {
  uint64_t own = ::geteuid();
  auto map = try_read_cgroup("/proc/self", "uid_map");
  if (!map) return static_cast<uint32_t>(own);
  for (std::string_view line : split(*map, "\n")) {
    auto parts = split(line, " ");
    if (parts.size() != 3) continue;
    auto inside = parse_counter(parts[0]), outside = parse_counter(parts[1]),
         count = parse_counter(parts[2]);
    if (inside && outside && count && own >= *inside && own - *inside < *count)
      return static_cast<uint32_t>(*outside + (own - *inside));
  }
  return static_cast<uint32_t>(own);
}

bool error_is(const DbusError& error, std::string_view name) {
  return error.name() == std::string(service) + "." + std::string(name);
}

}  // namespace

DbusConnection& SystemdUnit::bus() {
  if (bus_) return *bus_;
  std::string address = bus_address(user_bus_);
  try {
    bus_ = std::make_unique<DbusConnection>(address, host_uid(), false);
  } catch (SysError& error) {
    // systemd's own socket answers root also where no bus daemon runs.
    bool absent = error.code() == ENOENT || error.code() == ECONNREFUSED;
    if (user_bus_ || !absent || !environment("DBUS_SYSTEM_BUS_ADDRESS").empty())
      throw error.prepend("systemd cgroup driver");
    try {
      bus_ = std::make_unique<DbusConnection>("unix:path=/run/systemd/private", host_uid(), true);
    } catch (Error&) {
      throw error.prepend("systemd cgroup driver");
    }
    return *bus_;
  } catch (Error& error) {
    error.prepend("systemd cgroup driver");
    throw;
  }
  // Before any job is started, so that its end cannot be missed.
  DbusMessage match;
  match.path = "/org/freedesktop/DBus";
  match.interface = match.destination = "org.freedesktop.DBus";
  match.member = "AddMatch";
  match.body = {
      dbus_string("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved',"
                  "path='/org/freedesktop/systemd1'")};
  bus_->call(std::move(match));
  return *bus_;
}

DbusMessage SystemdUnit::manager_call(std::string_view member, std::vector<DbusValue> body) {
  DbusMessage call;
  call.destination = service;
  call.path = object;
  call.interface = "org.freedesktop.systemd1.Manager";
  call.member = member;
  call.body = std::move(body);
  return bus().call(std::move(call));
}

std::string SystemdUnit::manager_property(std::string_view property) {
  DbusMessage call;
  call.destination = service;
  call.path = object;
  call.interface = "org.freedesktop.DBus.Properties";
  call.member = "Get";
  call.body = {dbus_string("org.freedesktop.systemd1.Manager"), dbus_string(property)};
  DbusMessage reply = bus().call(std::move(call));
  if (reply.body.empty() || reply.body[0].signature != "v" ||
      reply.body[0].parts()[0].signature != "s")
    throw Error("systemd: property " + std::string(property) + " is no string");
  return reply.body[0].parts()[0].text();
}

SystemdVersion SystemdUnit::version_for(const oci::Resources& resources) {
  SystemdVersion version{v2_, 244};
  if (!depends_on_version(resources)) return version;
  // "252.19-1~deb12u1", with "v" in front in some builds.
  std::string text = manager_property("Version");
  size_t from = text.find_first_of("0123456789");
  size_t to = text.find_first_not_of("0123456789", from);
  if (from != std::string::npos)
    if (auto number = parse_counter(std::string_view(text).substr(from, to - from)))
      version.number = static_cast<int>(std::min<uint64_t>(*number, 100000));
  return version;
}

std::string SystemdUnit::run_job(std::string_view member, const std::vector<DbusValue>& body) {
  DbusMessage reply = manager_call(member, body);
  if (reply.body.empty() || reply.body[0].signature != "o")
    throw Error("systemd: " + std::string(member) + " returned no job");
  std::string job = reply.body[0].text();
  DbusMessage removed = bus_->wait_signal(
      [&](const DbusMessage& signal) {
        // JobRemoved(u id, o job, s unit, s result)
        return signal.member == "JobRemoved" && signal.body.size() == 4 &&
               signal.body[1].signature == "o" && signal.body[1].text() == job &&
               signal.body[3].signature == "s";
      },
      Deadline(job_patience_ms));
  return removed.body[3].text();
}

void SystemdUnit::start_sleeper() {
  clone_args args{};
  int fd = -1;
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uintptr_t>(&fd);
  args.exit_signal = SIGCHLD;
  pid_t parent = ::getpid();
  auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (pid < 0) throw SysError("clone a process for the scope");
  if (pid == 0) {
    // Only system calls from here on. It must not keep anything of ours open, nor outlive us.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_NAME, "vessel:scope");
    close_all_between(0, ~0U);
    if (::getppid() != parent) ::_exit(0);
    for (;;) ::pause();
  }
  sleeper_ = pid;
  sleeper_fd_.reset(fd);
}

void SystemdUnit::end_sleeper() {
  if (!sleeper_fd_) return;
  ::syscall(SYS_pidfd_send_signal, sleeper_fd_.get(), SIGKILL, nullptr, 0);
  while (::waitpid(sleeper_, nullptr, 0) < 0 && errno == EINTR) {
  }
  sleeper_fd_.reset();
}

std::unique_ptr<SystemdUnit> SystemdUnit::start(const SystemdUnitPlan& plan,
                                                std::string_view container_id,
                                                const oci::Resources& resources,
                                                const HostFacts& facts) {
  std::unique_ptr<SystemdUnit> unit(new SystemdUnit);
  unit->name_ = plan.unit;
  unit->v2_ = facts.cgroup_layout == CgroupLayout::v2;
  unit->user_bus_ = facts.euid != 0 || facts.in_user_namespace;
  if (unit->user_bus_ && !unit->v2_)
    throw Error("the systemd cgroup driver of a user needs cgroup v2");
  std::string slice = plan.slice == "-" ? "-.slice" : plan.slice;
  if (slice.empty()) slice = unit->user_bus_ ? "user.slice" : "system.slice";
  std::string slice_path = expand_slice(slice);
  bool scope = !plan.unit.ends_with(".slice");

  Properties properties;
  auto put = [&](const char* name, DbusValue value) {
    properties.emplace_back(name, std::move(value));
  };
  put("Description", dbus_string("vessel container " + std::string(container_id)));
  if (scope) {
    unit->start_sleeper();
    put("Slice", dbus_string(slice));
    put("Delegate", dbus_bool(true));
    put("PIDs", dbus_array("u", {dbus_uint32(static_cast<uint32_t>(unit->sleeper_))}));
  } else {
    put("Wants", dbus_array("s", {dbus_string(slice)}));
  }
  put("MemoryAccounting", dbus_bool(true));
  put("CPUAccounting", dbus_bool(true));
  put(unit->v2_ ? "IOAccounting" : "BlockIOAccounting", dbus_bool(true));
  put("TasksAccounting", dbus_bool(true));
  put("DefaultDependencies", dbus_bool(false));
  std::vector<std::string> warnings;  // apply gives the same ones
  SystemdVersion version = unit->version_for(resources);
  auto append = [&](Properties more) {
    properties.insert(properties.end(), std::make_move_iterator(more.begin()),
                      std::make_move_iterator(more.end()));
  };
  append(resource_properties(resources, version, warnings));
  append(device_properties(resources));
  if (auto group = resources.unified.find("memory.oom.group");
      group != resources.unified.end() && version.number >= 253)
    // Cannot be changed once the scope runs.
    put("OOMPolicy", dbus_string(trim(group->second) == "1" ? "kill" : "continue"));
  append(annotation_properties(plan.properties));

  std::vector<DbusValue> call{dbus_string(plan.unit), dbus_string("replace"),
                              property_list(properties), dbus_array("(sa(sv))", {})};
  std::string result;
  for (bool again = true;; again = false) {
    try {
      unit->started_here_ = true;
      result = unit->run_job("StartTransientUnit", call);
      break;
    } catch (DbusError& error) {
      unit->started_here_ = false;
      if (!error_is(error, "UnitExists") || !again) {
        error.prepend("systemd unit " + plan.unit);
        throw;
      }
      // Perhaps what is left of a failed one of that name.
      try {
        unit->manager_call("ResetFailedUnit", {dbus_string(plan.unit)});
      } catch (const DbusError&) {
      }
    }
  }
  if (result != "done")
    throw Error("systemd unit " + plan.unit + ": start job ended with \"" + result + "\"");

  unit->path_ = slice_path + "/" + plan.unit;
  if (scope) {
    // Where systemd really put it (below the user manager's own cgroup on the user bus).
    for (const auto& [key, path] : cgroups_of(std::to_string(unit->sleeper_)))
      if ((key.empty() ? unit->v2_ : key == "name=systemd") && path.ends_with("/" + plan.unit))
        unit->path_ = path;
  } else if (unit->user_bus_) {
    unit->path_ = unit->manager_property("ControlGroup") + unit->path_;
  }
  return unit;
}

std::unique_ptr<SystemdUnit> SystemdUnit::existing(std::string name, bool user_bus, bool v2) {
  std::unique_ptr<SystemdUnit> unit(new SystemdUnit);
  unit->name_ = std::move(name);
  unit->user_bus_ = user_bus;
  unit->v2_ = v2;
  return unit;
}

SystemdUnit::~SystemdUnit() {
  end_sleeper();
  if (!started_here_) return;
  try {
    stop();
  } catch (const std::exception&) {
    // Already on the way out of a failure, which is the one to report.
  }
}

void SystemdUnit::set_resources(const oci::Resources& resources,
                                std::vector<std::string>& warnings) {
  if (started_here_) return;  // StartTransientUnit had them
  Properties properties = resource_properties(resources, version_for(resources), warnings);
  if (properties.empty()) return;
  try {
    manager_call("SetUnitProperties",
                 {dbus_string(name_), dbus_bool(true), property_list(properties)});
  } catch (DbusError& error) {
    error.prepend("systemd unit " + name_);
    throw;
  }
}

void SystemdUnit::release() {
  end_sleeper();
  started_here_ = false;
}

void SystemdUnit::stop() {
  started_here_ = false;
  try {
    run_job("StopUnit", {dbus_string(name_), dbus_string("replace")});
  } catch (const DbusError& error) {
    if (!error_is(error, "NoSuchUnit")) throw;
    return;
  }
  // A failed unit would stay listed, and its name taken.
  try {
    manager_call("ResetFailedUnit", {dbus_string(name_)});
  } catch (const DbusError&) {
  }
}

}  // namespace vessel
