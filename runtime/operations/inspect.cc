#include "oci-spec/json_document.hh"
#include "oci-spec/json_output.hh"
#include "runtime/container/monitored.hh"
#include "runtime/container/status.hh"
#include "runtime/operations/living.hh"
#include "runtime/operations/report.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

void write_monitoring(oci::JsonOutput& out, const Container& c) {
  auto record = try_read_monitored(c.dir);
  if (!record) return;
  if (auto ended = try_read_exit_record(try_open_exit_file(c.dir));
      ended && c.status == Status::stopped) {
    out.key("exitCode");
    out.integer(int64_t{ended->code});
    out.key("finished");
    out.string(ended->finished);
  }
  out.key("log");
  out.string(record->log);
  out.key("remove");
  out.boolean(record->remove);
  const bool alive = static_cast<bool>(open_monitor(*record));
  out.key("monitor");
  out.begin_object();
  out.key("pid");
  out.integer(int64_t{alive ? record->monitor : 0});
  out.key("alive");
  out.boolean(alive);
  out.end_object();
}

void write_config(oci::JsonOutput& out, const Container& c) {
  out.key("config");
  try {
    const std::string text = c.dir.read_config();
    out.copy(oci::JsonDocument(text, "config.json").root());
  } catch (const std::exception&) {
    out.null();  // still being created
  }
}

// The members of `state`, and what a person wants to know beyond them.
void inspect(oci::JsonOutput& out, const std::string& root, const std::string& id) {
  Container c = open_container(root, id);
  const std::string state = state_text(root, id);
  const oci::JsonDocument document(state, "state");
  out.begin_object();
  const oci::JsonNode& members = document.root();
  for (const oci::JsonNode* n = members.begin(); n != members.end(); n = n->next()) {
    out.key(n->key());
    out.copy(*n);
  }
  write_monitoring(out, c);
  if (!c.record.cgroup.empty()) {
    out.key("cgroup");
    out.begin_object();
    for (const auto& [hierarchy, path] : c.record.cgroup.paths) {
      out.key(hierarchy);
      out.string(path);
    }
    out.end_object();
  }
  out.key("stateDirectory");
  out.string(c.dir.path());
  write_config(out, c);
  out.end_object();
}

}  // namespace

std::string inspect_text(const std::string& root, const std::vector<std::string>& ids) {
  oci::JsonOutput out(2);
  out.begin_array();
  for (const std::string& id : ids) {
    try {
      inspect(out, root, id);
    } catch (Error& e) {
      e.prepend(id);
      throw;
    }
  }
  out.end_array();
  return out.take() + "\n";
}

}  // namespace vessel
