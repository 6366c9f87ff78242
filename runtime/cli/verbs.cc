#include "runtime/cli/verbs.hh"

namespace vessel::cli {

const std::vector<Option>& global_options() {
  static const std::vector<Option> options = {
      {.name = "debug", .help = "log each step with the time since the start"},
      {.name = "log", .value = "FILE", .help = "write the log to FILE instead of stderr"},
      {.name = "log-format",
       .value = "FORMAT",
       .help = "text or json, one object a line",
       .default_value = "text"},
      {.name = "root",
       .value = "DIR",
       .help = "directory for the state of containers, best on a tmpfs (default: /run/vessel, or "
               "$XDG_RUNTIME_DIR/vessel without root)"},
      {.name = "systemd-cgroup",
       .help = "let systemd make the cgroups; cgroupsPath is then slice:prefix:name"},
      {.name = "rootless",
       .value = "BOOL",
       .help = "go on without cgroups that may not be made: true, false or auto",
       .default_value = "auto"},
      {.name = "version", .short_name = 'v', .help = "print the version"},
  };
  return options;
}

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> list = {
      create_verb(),    start_verb(),  run_verb(),         exec_verb(),       state_verb(),
      list_verb(),      ps_verb(),     events_verb(),      kill_verb(),       delete_verb(),
      pause_verb(),     resume_verb(), update_verb(),      spec_verb(),       features_verb(),
      plan_verb(),      check_verb(),  logs_verb(),        stop_verb(),       wait_verb(),
      inspect_verb(),   stats_verb(),  start_again_verb(), checkpoint_verb(), restore_verb(),
      completion_verb()};
  return list;
}

const Verb* find_verb(std::string_view name) {
  for (const Verb& verb : verbs())
    if (verb.name == name) return &verb;
  return nullptr;
}

}  // namespace vessel::cli
