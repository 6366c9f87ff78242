#include <sched.h>

#include <nlohmann/json.hpp>

#include "oci-spec/format_error.hh"
#include "runtime/container/state.hh"

namespace vessel {

namespace {

using nlohmann::json;

constexpr int format_version = 1;

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
  if (name == "creating") return Phase::creating;
  if (name == "created") return Phase::created;
  if (name == "running") return Phase::running;
  throw json::other_error::create(500, "phase \"" + name + "\" is not known", nullptr);
}

}  // namespace

std::string write_state(const StateRecord& record) {
  json j = {{"format", format_version},
            {"id", record.id},
            {"bundle", record.bundle},
            {"rootfs", record.rootfs},
            {"created", record.created},
            {"phase", name_of(record.phase)},
            {"owner", record.owner},
            {"pid", record.pid},
            {"startTime", record.start_time},
            {"bootId", record.boot_id},
            {"creator", record.creator},
            {"pidNamespace", record.pid_namespace},
            {"cgroup",
             {{"paths", record.cgroup.paths},
              {"unit", record.cgroup.unit},
              {"userBus", record.cgroup.user_bus}}},
            {"namespaces", record.private_namespaces},
            {"rootless", record.rootless},
            {"hasProcess", record.has_process},
            {"hasPoststart", record.has_poststart},
            {"hasPoststop", record.has_poststop}};
  if (!record.annotations.empty()) j["annotations"] = record.annotations;
  // Bytes of annotations that are no UTF-8 must not make a container impossible to record.
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

StateRecord read_state_record(std::string_view text, std::string_view file) {
  try {
    json j = json::parse(text);
    if (j.at("format").get<int>() != format_version)
      throw json::other_error::create(501, "written by another version of vessel", nullptr);
    StateRecord record;
    j.at("id").get_to(record.id);
    j.at("bundle").get_to(record.bundle);
    j.at("rootfs").get_to(record.rootfs);
    j.at("created").get_to(record.created);
    record.phase = phase_of(j.at("phase").get<std::string>());
    j.at("owner").get_to(record.owner);
    j.at("pid").get_to(record.pid);
    j.at("startTime").get_to(record.start_time);
    j.at("bootId").get_to(record.boot_id);
    j.at("creator").get_to(record.creator);
    j.at("pidNamespace").get_to(record.pid_namespace);
    const json& cgroup = j.at("cgroup");
    cgroup.at("paths").get_to(record.cgroup.paths);
    cgroup.at("unit").get_to(record.cgroup.unit);
    cgroup.at("userBus").get_to(record.cgroup.user_bus);
    j.at("namespaces").get_to(record.private_namespaces);
    j.at("rootless").get_to(record.rootless);
    j.at("hasProcess").get_to(record.has_process);
    j.at("hasPoststart").get_to(record.has_poststart);
    j.at("hasPoststop").get_to(record.has_poststop);
    if (auto a = j.find("annotations"); a != j.end()) a->get_to(record.annotations);
    return record;
  } catch (const json::exception& e) {
    throw oci::FormatError(std::string(file), {{"", e.what()}});
  }
}

}  // namespace vessel
