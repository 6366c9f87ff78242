#include "runtime/cli/verbs.hh"

#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "runtime/sys/file.hh"

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
       .help = "go on without cgroups and device rules that may not be made: true, false or auto",
       .default_value = "auto"},
      {.name = "version", .short_name = 'v', .help = "print the version"},
  };
  return options;
}

namespace {

struct Row {
  char name[16];
  Verb (*make)();
};

// As help lists them.
constexpr Row rows[] = {{"create", create_verb},
                        {"start", start_verb},
                        {"run", run_verb},
                        {"exec", exec_verb},
                        {"state", state_verb},
                        {"list", list_verb},
                        {"ps", ps_verb},
                        {"events", events_verb},
                        {"kill", kill_verb},
                        {"delete", delete_verb},
                        {"pause", pause_verb},
                        {"resume", resume_verb},
                        {"update", update_verb},
                        {"spec", spec_verb},
                        {"features", features_verb},
                        {"plan", plan_verb},
                        {"check", check_verb},
                        {"logs", logs_verb},
                        {"stop", stop_verb},
                        {"wait", wait_verb},
                        {"inspect", inspect_verb},
                        {"stats", stats_verb},
                        {"start-again", start_again_verb},
                        {"checkpoint", checkpoint_verb},
                        {"restore", restore_verb},
                        {"completion", completion_verb}};

}  // namespace

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> list = [] {
    std::vector<Verb> made;
    made.reserve(std::size(rows));
    for (const Row& row : rows) made.push_back(row.make());
    return made;
  }();
  return list;
}

std::optional<Verb> find_verb(std::string_view name) {
  for (const Row& row : rows)
    if (row.name == name) return row.make();
  return std::nullopt;
}

namespace {

// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
size_t slips(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

}  // namespace

const Verb* nearest_verb(std::string_view name) {
  const Verb* best = nullptr;
  size_t least = std::min<size_t>(3, name.size() / 2 + 1);  // more is another word
  for (const Verb& verb : verbs())
    if (size_t n = slips(name, verb.name); !verb.hidden && n < least) {
      least = n;
      best = &verb;
    }
  return best;
}

void print(std::string_view text) {
  write_all(STDOUT_FILENO, text, "standard output");
}

}  // namespace vessel::cli
