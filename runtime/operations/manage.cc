#include <csignal>

#include "runtime/container/status.hh"
#include "runtime/operations/lifecycle.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/process.hh"

namespace vessel {

void delete_container(const std::string& root, const std::string& id, bool force) {
  if (force && !StateDir::try_open(root, id)) return;
  Container c = open_container(root, id, false);
  bool gone_or_waiting = c.status == Status::stopped || c.status == Status::created;
  if (!force && !gone_or_waiting) {
    Status shown = status_of(c.dir, c.record, c.init);
    throw Error("cannot delete container " + id + " that is not stopped: " + name_of(shown));
  }
  Cgroup cgroup = Cgroup::open(c.record.cgroup);
  destroy_container(c.dir, c.record, cgroup, c.init);
}

void pause_container(const std::string& root, const std::string& id) {
  Container c = open_container(root, id);
  if (c.status != Status::running && c.status != Status::created)
    throw Error("container not running");
  if (c.record.cgroup.empty()) throw Error("cannot pause a container without a cgroup");
  Cgroup::open(c.record.cgroup).freeze();
}

void resume_container(const std::string& root, const std::string& id) {
  Container c = open_container(root, id);
  if (c.status != Status::paused) throw Error("container not paused");
  Cgroup::open(c.record.cgroup).thaw();
}

void update_container(const std::string& root, const std::string& id,
                      const oci::Resources& resources) {
  Container c = open_container(root, id, false);
  if (c.status == Status::stopped) throw Error("container not running");
  Cgroup::open(c.record.cgroup).update(resources);
}

}  // namespace vessel
