#include <unistd.h>

#include "runtime/cli/verbs.hh"
#include "runtime/operations/lifecycle.hh"
#include "runtime/operations/monitor.hh"
#include "runtime/sys/error.hh"

namespace vessel::cli {

namespace {

// What is cloned into a container runs from a protected copy of this program, which `start` itself,
// as orchestrators call it, need not be.
void execute_start_again(const Globals& globals, const std::string& id) {
  std::vector<std::string> words = {"vessel", "--root", globals.root};
  if (globals.debug) words.emplace_back("--debug");
  words.insert(words.end(), {"start-again", id});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv("/proc/self/exe", argv.data());
  throw SysError("execute /proc/self/exe");
}

}  // namespace

Verb start_verb() {
  return {.name = "start",
          .usage = "start the process of a created container",
          .operands = "<container-id>",
          .description =
              "Lets the process of a created container execute its program. A container that "
              "was run with --log-output and has stopped is run again from its bundle.",
          .options = {},
          .least_operands = 1,
          .most_operands = 1,
          .containers = "created|stopped",
          .run = [](const Globals& g, const Arguments& a) {
            if (can_start_again(g.root, a.operand(0))) execute_start_again(g, a.operand(0));
            start_container(g.root, a.operand(0));
            return 0;
          }};
}

Verb kill_verb() {
  return {.name = "kill",
          .usage = "send a signal to a container",
          .operands = "<container-id> [signal]",
          .description =
              "Sends the signal, by name or number (default TERM), to the container's "
              "process. KILL reaches every process of a container that has no pid "
              "namespace of its own.",
          .options = {{.name = "all", .short_name = 'a', .help = "to every process inside"}},
          .least_operands = 1,
          .most_operands = 2,
          .containers = "created|running|paused",
          .run = [](const Globals& g, const Arguments& a) {
            int signal = parse_signal(a.operands().size() > 1 ? a.operand(1) : "TERM");
            kill_container(g.root, a.operand(0), signal, a.flag("all"));
            return 0;
          }};
}

Verb delete_verb() {
  return {.name = "delete",
          .usage = "remove what a container holds",
          .operands = "<container-id>",
          .description =
              "Removes a stopped or created container: its cgroup and its state. The "
              "poststop hooks run afterwards.",
          .options = {{.name = "force",
                       .short_name = 'f',
                       .help = "kill a running one first; no error when there is none"}},
          .least_operands = 1,
          .most_operands = 1,
          .containers = ".*",
          .run = [](const Globals& g, const Arguments& a) {
            delete_container(g.root, a.operand(0), a.flag("force"));
            return 0;
          }};
}

Verb pause_verb() {
  return {.name = "pause",
          .usage = "freeze all processes of a container",
          .operands = "<container-id>",
          .description = "Freezes the container's cgroup. `resume` thaws it.",
          .options = {},
          .least_operands = 1,
          .most_operands = 1,
          .containers = "running",
          .run = [](const Globals& g, const Arguments& a) {
            pause_container(g.root, a.operand(0));
            return 0;
          }};
}

Verb resume_verb() {
  return {.name = "resume",
          .usage = "thaw a paused container",
          .operands = "<container-id>",
          .description = "Lets the processes of a paused container go on.",
          .options = {},
          .least_operands = 1,
          .most_operands = 1,
          .containers = "paused",
          .run = [](const Globals& g, const Arguments& a) {
            resume_container(g.root, a.operand(0));
            return 0;
          }};
}

}  // namespace vessel::cli
