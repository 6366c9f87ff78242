#include <unistd.h>

#include <ctime>

#include "runtime/cli/verbs.hh"
#include "runtime/operations/living.hh"
#include "runtime/operations/logs.hh"
#include "runtime/operations/monitor.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/number.hh"

namespace vessel::cli {

namespace {

int logs(const Globals& globals, const Arguments& arguments) {
  LogsRequest request;
  request.root = globals.root;
  request.id = arguments.operand(0);
  request.follow = arguments.flag("follow");
  request.timestamps = arguments.flag("timestamps");
  if (const std::string text = arguments.value("tail"); text != "all") {
    request.tail = parse_number<uint64_t>(text);
    if (!request.tail) throw UsageError("--tail: expected a number or all, got \"" + text + "\"");
  }
  if (const std::string text = arguments.value("since"); !text.empty()) {
    auto stamp = log_stamp(text, ::time(nullptr));
    if (!stamp)
      throw UsageError(
          "--since: expected an age such as 10m or a time such as "
          "2026-01-31T12:00:00Z, got \"" +
          text + "\"");
    request.since = *stamp;
  }
  print_logs(request);
  return 0;
}

int stop(const Globals& globals, const Arguments& arguments) {
  const std::string text = arguments.value("time");
  auto seconds = parse_number<int64_t>(text, 0, 1'000'000);
  if (!seconds) throw UsageError("--time: expected a number of seconds, got \"" + text + "\"");
  for (const std::string& id : arguments.operands()) stop_container(globals.root, id, *seconds);
  return 0;
}

}  // namespace

Verb logs_verb() {
  return {.name = "logs",
          .usage = "print what a container wrote",
          .operands = "<container-id>",
          .description =
              "Prints the log of a container that was started with `run --detach "
              "--log-output`: its stdout to stdout, its stderr to stderr.",
          .options = {{.name = "follow",
                       .short_name = 'f',
                       .help = "go on until the container has ended"},
                      {.name = "tail",
                       .short_name = 'n',
                       .value = "N",
                       .help = "only the last N lines",
                       .default_value = "all"},
                      {.name = "since",
                       .value = "TIME",
                       .help = "only what came since: an age such as 10m, or an RFC 3339 time"},
                      {.name = "timestamps", .short_name = 't', .help = "the time of each line"}},
          .least_operands = 1,
          .most_operands = 1,
          .containers = ".*",
          .run = logs};
}

Verb stop_verb() {
  return {.name = "stop",
          .usage = "end containers politely",
          .operands = "<container-id> [container-id ...]",
          .description =
              "Sends the image's stop signal (annotation "
              "org.opencontainers.image.stopSignal, default TERM) and, when that does not end the "
              "container in time, KILL.",
          .options = {{.name = "time",
                       .short_name = 't',
                       .value = "SECONDS",
                       .help = "how long to wait before KILL",
                       .default_value = "10"}},
          .least_operands = 1,
          .most_operands = any_number,
          .containers = "running|paused",
          .run = stop};
}

Verb wait_verb() {
  return {.name = "wait",
          .usage = "wait until a container has ended, print its exit code",
          .operands = "<container-id>",
          .description =
              "Prints the exit code of a container that was started with `run --detach "
              "--log-output`.",
          .options = {},
          .least_operands = 1,
          .most_operands = 1,
          .containers = ".*",
          .run = [](const Globals& g, const Arguments& a) {
            print(std::to_string(wait_for_container(g.root, a.operand(0))) + "\n");
            return 0;
          }};
}

Verb inspect_verb() {
  return {.name = "inspect",
          .usage = "print everything known about containers",
          .operands = "<container-id> [container-id ...]",
          .description =
              "Prints a JSON array: for each container its state, exit code, log, monitor, cgroup "
              "and config.json.",
          .options = {},
          .least_operands = 1,
          .most_operands = any_number,
          .containers = ".*",
          .run = [](const Globals& g, const Arguments& a) {
            print(inspect_text(g.root, a.operands()));
            return 0;
          }};
}

Verb stats_verb() {
  return {.name = "stats",
          .usage = "show what containers use",
          .operands = "[container-id ...]",
          .description =
              "Shows CPU, memory, processes and block I/O of the given or of all running "
              "containers, anew each second.",
          .options = {{.name = "no-stream", .help = "one table, then exit"}},
          .most_operands = any_number,
          .containers = "running|paused",
          .run = [](const Globals& g, const Arguments& a) {
            show_stats(g.root, a.operands(), a.flag("no-stream"));
            return 0;
          }};
}

Verb start_again_verb() {
  return {.name = "start-again",
          .usage = "run a stopped container again (start does this)",
          .operands = "<container-id>",
          .options = {},
          .least_operands = 1,
          .most_operands = 1,
          .hidden = true,
          .clones = true,
          .run = [](const Globals& g, const Arguments& a) {
            run_monitored_again(g.root, a.operand(0));
            return 0;
          }};
}

}  // namespace vessel::cli
