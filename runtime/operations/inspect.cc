#include <nlohmann/json.hpp>

#include "oci-spec/runtime_state.hh"
#include "runtime/container/monitored.hh"
#include "runtime/container/status.hh"
#include "runtime/operations/living.hh"
#include "runtime/operations/report.hh"
#include "runtime/sys/error.hh"

namespace vessel {

namespace {

using nlohmann::ordered_json;

ordered_json inspect(const std::string& root, const std::string& id) {
  Container c = open_container(root, id);
  ordered_json all = ordered_json::parse(state_text(root, id));
  if (auto record = try_read_monitored(c.dir)) {
    if (auto ended = try_read_exit_record(try_open_exit_file(c.dir));
        ended && c.status == Status::stopped) {
      all["exitCode"] = ended->code;
      all["finished"] = ended->finished;
    }
    all["log"] = record->log;
    all["remove"] = record->remove;
    const bool alive = static_cast<bool>(open_monitor(*record));
    all["monitor"] = {{"pid", alive ? record->monitor : 0}, {"alive", alive}};
  }
  if (!c.record.cgroup.empty()) all["cgroup"] = c.record.cgroup.paths;
  all["stateDirectory"] = c.dir.path();
  try {
    all["config"] = ordered_json::parse(c.dir.read_config());
  } catch (const std::exception&) {
    all["config"] = nullptr;  // still being created
  }
  return all;
}

}  // namespace

std::string inspect_text(const std::string& root, const std::vector<std::string>& ids) {
  ordered_json list = ordered_json::array();
  for (const std::string& id : ids) {
    try {
      list.push_back(inspect(root, id));
    } catch (Error& e) {
      e.prepend(id);
      throw;
    }
  }
  return list.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace vessel
