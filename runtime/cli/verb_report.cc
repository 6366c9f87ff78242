#include <unistd.h>

#include "runtime/cli/verbs.hh"
#include "runtime/operations/report.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/number.hh"

namespace vessel::cli {

namespace {

// Go's durations as far as callers use them: "5s", "500ms", "1m30s"; a bare number is seconds.
int64_t milliseconds_of(const std::string& text) {
  int64_t total = 0;
  std::string_view rest = text;
  bool any = false;
  while (!rest.empty()) {
    size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    auto number = parse_number<int64_t>(rest.substr(0, digits), 0, 1'000'000'000);
    if (!number) break;
    rest.remove_prefix(digits);
    size_t letters = std::min(rest.find_first_of("0123456789"), rest.size());
    std::string_view unit = rest.substr(0, letters);
    rest.remove_prefix(letters);
    if (unit == "ms")
      total += *number;
    else if (unit == "s" || (unit.empty() && !any))
      total += *number * 1000;
    else if (unit == "m")
      total += *number * 60'000;
    else if (unit == "h")
      total += *number * 3'600'000;
    else
      break;
    any = true;
    if (rest.empty()) return total;
  }
  throw UsageError("--interval: expected a duration such as 5s, got \"" + text + "\"");
}

int list(const Globals& globals, const Arguments& arguments) {
  std::string format = arguments.value("format");
  if (format != "table" && format != "json") throw Error("invalid format option");
  print(list_text(globals.root, arguments.flag("quiet") ? ListFormat::quiet
                                : format == "json"      ? ListFormat::json
                                                        : ListFormat::table));
  return 0;
}

int ps(const Globals& globals, const Arguments& arguments) {
  std::string format = arguments.value("format");
  if (format != "table" && format != "json") throw Error("invalid format option");
  const auto& operands = arguments.operands();
  if (format == "json")
    print(ps_json(globals.root, operands[0]));
  else
    print(ps_table(globals.root, operands[0], {operands.begin() + 1, operands.end()}));
  return 0;
}

constexpr Option format_option{.name = "format",
                               .short_name = 'f',
                               .value = "FORMAT",
                               .help = "table or json",
                               .default_value = "table"};

}  // namespace

Verb state_verb() {
  return {.name = "state",
          .usage = "print the state of a container",
          .operands = "<container-id>",
          .description = "Prints the state of the specification, with what runc adds, as JSON.",
          .options = {},
          .least_operands = 1,
          .most_operands = 1,
          .containers = ".*",
          .run = [](const Globals& g, const Arguments& a) {
            print(state_text(g.root, a.operand(0)));
            return 0;
          }};
}

Verb list_verb() {
  return {.name = "list",
          .usage = "list the containers below the root",
          .operands = "",
          .description = "Prints each container's id, pid, status, bundle, time and owner.",
          .options = {format_option, {.name = "quiet", .short_name = 'q', .help = "ids only"}},
          .run = list};
}

Verb ps_verb() {
  return {.name = "ps",
          .usage = "list the processes of a container",
          .operands = "<container-id> [ps option ...]",
          .description =
              "Runs ps(1) with the options (default -ef) and shows the lines of the "
              "container's processes, or prints their pids as JSON.",
          .options = {format_option},
          .least_operands = 1,
          .most_operands = any_number,
          .options_first = true,
          .containers = "created|running|paused",
          .run = ps};
}

Verb events_verb() {
  return {.name = "events",
          .usage = "print statistics and out-of-memory events of a container",
          .operands = "<container-id>",
          .description =
              "Prints a line of JSON each interval and one when memory runs out, until "
              "the container ends.",
          .options = {{.name = "interval",
                       .value = "DURATION",
                       .help = "time between two lines",
                       .default_value = "5s"},
                      {.name = "stats", .help = "one line, then exit"}},
          .least_operands = 1,
          .most_operands = 1,
          .containers = "created|running|paused",
          .run = [](const Globals& g, const Arguments& a) {
            events(g.root, a.operand(0), a.flag("stats"), milliseconds_of(a.value("interval")));
            return 0;
          }};
}

}  // namespace vessel::cli
