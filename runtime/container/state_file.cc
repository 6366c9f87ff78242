// The state file's text. Read by every verb and written twice for every container, so by the
// readers of oci-spec/, which allocate nothing for what is not kept.
#include <string>

#include "oci-spec/runtime_visitors.hh"
#include "runtime/container/state.hh"

namespace vessel {

namespace {

constexpr int format_version = 1;

struct Cgroups {
  CgroupRecord record;
};

struct ResctrlGroup {
  ResctrlRecord record;
};

// The file as it lies on disk.
struct StateFile {
  int format = format_version;
  std::string phase;
  Cgroups cgroup;
  std::optional<ResctrlGroup> resctrl;
  StateRecord record;
};

const char* name_of(Phase phase) {
  switch (phase) {
    case Phase::creating:
      return "creating";
    case Phase::created:
      return "created";
    case Phase::running:
      break;
  }
  return "running";
}

Phase phase_of(const std::string& name) {
  return name == "creating" ? Phase::creating : name == "created" ? Phase::created : Phase::running;
}

template <class V>
void describe(V& v, oci::Described<V, Cgroups>& c) {
  v.required("paths", c.record.paths);
  v.required("unit", c.record.unit);
  v.required("userBus", c.record.user_bus);
  v.field("delegate", c.record.delegate);
}

template <class V>
void describe(V& v, oci::Described<V, ResctrlGroup>& g) {
  v.required("group", g.record.group);
  v.required("monGroup", g.record.mon_group);
  v.required("made", g.record.made);
  v.required("named", g.record.named);
}

template <class V>
void describe(V& v, oci::Described<V, StateFile>& f) {
  auto& r = f.record;
  v.required("format", f.format);
  v.check(f.format == format_version, "format", "written by another version of vessel");
  v.required("id", r.id);
  v.required("bundle", r.bundle);
  v.required("rootfs", r.rootfs);
  v.required("created", r.created);
  v.required("phase", f.phase);
  v.one_of("phase", f.phase, {"creating", "created", "running"});
  v.required("owner", r.owner);
  v.required("pid", r.pid);
  v.required("startTime", r.start_time);
  v.required("bootId", r.boot_id);
  v.required("creator", r.creator);
  v.required("pidNamespace", r.pid_namespace);
  v.required("cgroup", f.cgroup);
  v.field("creatorCgroups", r.creator_cgroups);
  v.field("resctrl", f.resctrl);
  v.required("namespaces", r.private_namespaces);
  v.required("rootless", r.rootless);
  v.field("noNewKeyring", r.no_new_keyring);
  v.required("hasProcess", r.has_process);
  v.required("hasPoststart", r.has_poststart);
  v.required("hasPoststop", r.has_poststop);
  v.field("annotations", r.annotations);
}

}  // namespace

std::string write_state(const StateRecord& record) {
  std::optional<ResctrlGroup> resctrl;
  if (record.resctrl) resctrl = ResctrlGroup{*record.resctrl};
  return oci::JsonWriter::write_document(
      StateFile{format_version, name_of(record.phase), {record.cgroup}, std::move(resctrl), record},
      -1);
}

StateRecord read_state_record(std::string_view text, std::string_view file) {
  StateFile read = oci::JsonReader::read_document<StateFile>(text, file);
  StateRecord record = std::move(read.record);
  record.phase = phase_of(read.phase);
  record.cgroup = std::move(read.cgroup.record);
  if (read.resctrl) record.resctrl = std::move(read.resctrl->record);
  return record;
}

}  // namespace vessel
