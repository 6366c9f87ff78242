#include <csignal>

#include "runtime/container/status.hh"
#include "runtime/operations/lifecycle.hh"
#include "runtime/plan/make_plan.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/process.hh"

namespace vessel {

namespace {

// A creator that died between making the cgroup and writing the first state: made again from the
// config, which adopts what is there, it is known and can be removed. Nothing lives in it yet.
// Where a record was lost (`unreadable`) something may: gone from the list, nothing would find it.
Cgroup recover_cgroup(const Container& c, bool unreadable) {
  try {
    PlanOptions options;
    options.id = c.dir.id();
    options.bundle = "/";  // only the cgroup is of interest, so problems are not either
    std::vector<PlanProblem> problems;
    HostFacts facts = probe_host();
    oci::Config config = oci::read_config(c.dir.read_config(), c.dir.path() + "/config.json");
    return Cgroup::create(try_plan(std::move(config), facts, options, problems).cgroup, options.id,
                          facts, c.record.creator_cgroups);
  } catch (const std::exception& e) {
    if (unreadable && dynamic_cast<const CgroupInUse*>(&e))
      throw Error(std::string(e.what()) +
                  ", which may be the container's: end them and delete again");
    log::write(log::Level::warning, "find the cgroup of " + c.dir.id() + ": " + e.what());
    return Cgroup();
  }
}

// A state file that cannot be read must not make a container impossible to delete.
Container open_for_delete(const std::string& root, const std::string& id, bool force,
                          bool& unreadable) {
  try {
    return open_container(root, id, false);
  } catch (const oci::FormatError& e) {
    if (!force) throw;
    unreadable = true;
    log::write(log::Level::warning, e.what());
    Container c{StateDir::open(root, id), {}, Fd(), Status::stopped};
    c.record.id = id;
    return c;
  }
}

}  // namespace

namespace {

void delete_existing(const std::string& root, const std::string& id, bool force) {
  bool unreadable = false;
  Container c = open_for_delete(root, id, force, unreadable);
  bool gone_or_waiting = c.status == Status::stopped || c.status == Status::created;
  if (!force && !gone_or_waiting) {
    Status shown = status_of(c.dir, c.record, bool(c.init));
    throw Error("cannot delete container " + id + " that is not stopped: " + name_of(shown));
  }
  bool unrecorded = c.record.created.empty() || !c.record.creator_cgroups.empty();
  Cgroup cgroup = unrecorded ? recover_cgroup(c, unreadable) : Cgroup::open(c.record.cgroup);
  destroy_container(c.dir, c.record, cgroup, c.init);
}

}  // namespace

void delete_container(const std::string& root, const std::string& id, bool force) {
  if (force && !StateDir::try_open(root, id)) return;
  try {
    delete_existing(root, id, force);
  } catch (const std::exception&) {
    // Another one was faster, or its creator undid it.
    if (!force || StateDir::try_open(root, id)) throw;
  }
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
                      const oci::Resources& resources, const std::vector<std::string>& schemata) {
  Container c = open_container(root, id, false);
  if (c.status == Status::stopped) throw Error("container not running");
  if (!schemata.empty()) {
    if (!c.record.resctrl)
      throw Error(
          "updating a non-existent Intel RDT configuration is not supported: the container "
          "was created without linux.intelRdt");
    Resctrl::open().write_schemata(*c.record.resctrl, schemata);
  }
  Cgroup::open(c.record.cgroup).update(resources);
}

}  // namespace vessel
