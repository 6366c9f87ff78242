// Owns: the systemd unit (scope, or slice) that stands for a container's cgroup: started, changed,
// stopped through the manager's bus interface.
// Does not own: the cgroup's files (create.cc, apply.cc).
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/cgroup/dbus_connection.hh"
#include "runtime/cgroup/systemd_properties.hh"
#include "runtime/host/facts.hh"
#include "runtime/plan/plan.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

class SystemdUnit {
 public:
  // Starts the transient unit with all its properties and waits until systemd has done so. A scope
  // needs a process from the start: a child of ours that sleeps, until release(). So the limits are
  // in place before the container's first process is cloned into the cgroup. Throws Error.
  static std::unique_ptr<SystemdUnit> start(const SystemdUnitPlan& plan,
                                            std::string_view container_id,
                                            const oci::Resources& resources,
                                            const HostFacts& facts);
  // That of a container made earlier; connects when first used.
  static std::unique_ptr<SystemdUnit> existing(std::string name, bool user_bus, bool v2);
  // Stops the unit when it was started here and never released (a create that failed).
  ~SystemdUnit();

  const std::string& name() const { return name_; }
  bool on_user_bus() const { return user_bus_; }
  // Below every hierarchy's mount, with a leading slash.
  const std::string& cgroup_path() const { return path_; }

  // SetUnitProperties at run time, for an update; nothing right after start, which had them.
  void set_resources(const oci::Resources& resources, std::vector<std::string>& warnings);
  // A process of the container is in the scope now: the sleeping child ends.
  void release();
  // StopUnit and ResetFailedUnit; a unit that is gone already is no error.
  void stop();

 private:
  SystemdUnit() = default;
  DbusConnection& bus();
  DbusMessage manager_call(std::string_view member, std::vector<DbusValue> body);
  std::string manager_property(std::string_view name);
  SystemdVersion version_for(const oci::Resources& resources);
  // Calls `member`, which returns a job, and waits for its result ("done", "failed", …).
  std::string run_job(std::string_view member, const std::vector<DbusValue>& body);
  void start_sleeper();
  void end_sleeper();

  std::string name_, path_;
  bool user_bus_ = false;
  bool v2_ = true;
  bool started_here_ = false;
  std::unique_ptr<DbusConnection> bus_;
  pid_t sleeper_ = -1;
  Fd sleeper_fd_;
};

}  // namespace vessel
