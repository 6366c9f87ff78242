#include <unistd.h>

#include <algorithm>

#include "runtime/cli/launch_options.hh"
#include "runtime/cli/verbs.hh"
#include "runtime/operations/exec.hh"
#include "runtime/plan/make_plan.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/number.hh"

namespace vessel::cli {

namespace {

// CVE-2026-30892: "--user 1" must never become uid 0.
void set_user(oci::User& user, const std::string& text) {
  size_t colon = text.find(':');
  auto uid = parse_number<uint32_t>(std::string_view(text).substr(0, colon));
  if (!uid) throw UsageError("--user: expected UID[:GID], got \"" + text + "\"");
  user.uid = *uid;
  if (colon == std::string::npos) return;
  auto gid = parse_number<uint32_t>(std::string_view(text).substr(colon + 1));
  if (!gid) throw UsageError("--user: expected UID[:GID], got \"" + text + "\"");
  user.gid = *gid;
}

void add_capabilities(oci::Process& process, const std::vector<std::string>& names) {
  if (names.empty()) return;
  if (!process.capabilities) process.capabilities.emplace();
  oci::Capabilities& sets = *process.capabilities;
  for (std::string name : names) {
    if (!name.starts_with("CAP_")) name.insert(0, "CAP_");
    for (auto* set : {&sets.bounding, &sets.effective, &sets.permitted}) set->push_back(name);
    // Ambient needs inheritable, which --cap never fills (CVE-2022-29162).
    if (!sets.inheritable.empty()) sets.ambient.push_back(name);
  }
}

oci::Process process_of(const Arguments& arguments, const oci::Config& config) {
  if (std::string file = arguments.value("process"); !file.empty()) {
    oci::Process process =
        oci::read_process(file == "-" ? read_all(Fd(::dup(0)), "standard input") : read_file(file),
                          file == "-" ? "standard input" : file);
    complete_exec_process(process, config);
    return process;
  }
  if (arguments.operands().size() < 2) throw Error("exec args cannot be empty");
  oci::Process process = config.process ? *config.process : oci::Process{};
  process.args.assign(arguments.operands().begin() + 1, arguments.operands().end());
  if (arguments.given("cwd")) process.cwd = arguments.value("cwd");
  if (process.cwd.empty()) process.cwd = "/";
  if (arguments.given("apparmor")) process.apparmor_profile = arguments.value("apparmor");
  if (arguments.given("process-label")) process.selinux_label = arguments.value("process-label");
  add_capabilities(process, arguments.values("cap"));
  for (std::string& variable : arguments.values("env")) process.env.push_back(variable);
  process.terminal = arguments.flag("tty");
  auto has_term = [](const std::string& e) { return e.starts_with("TERM="); };
  if (process.terminal && std::ranges::none_of(process.env, has_term))
    process.env.emplace_back("TERM=xterm");
  process.console_size.reset();
  if (arguments.given("no-new-privs")) process.no_new_privileges = arguments.flag("no-new-privs");
  if (arguments.given("user")) set_user(process.user, arguments.value("user"));
  for (const std::string& text : arguments.values("additional-gids")) {
    auto gid = parse_number<uint32_t>(text);
    if (!gid) throw UsageError("--additional-gids: expected a group id, got \"" + text + "\"");
    process.user.additional_gids.push_back(*gid);
  }
  return process;
}

int exec(const Globals& globals, const Arguments& arguments) {
  ExecRequest request;
  request.root = globals.root;
  request.id = arguments.operand(0);
  request.process = [&](const oci::Config& config) { return process_of(arguments, config); };
  request.console_socket = arguments.value("console-socket");
  request.pidfd_socket = arguments.value("pidfd-socket");
  request.pid_file = arguments.value("pid-file");
  request.cgroups = arguments.values("cgroup");
  request.detach = arguments.flag("detach");
  request.ignore_paused = arguments.flag("ignore-paused");
  request.preserve_fds = count_of(arguments, "preserve-fds");
  return exec_in_container(request);
}

}  // namespace

Verb exec_verb() {
  return {
      .name = "exec",
      .usage = "run a further process in a container",
      .operands = "<container-id> <command> [argument ...]",
      .description =
          "Runs a process in the namespaces and the cgroup of a running container. "
          "Without --process it is like the container's own process but for what the "
          "options change; capabilities, labels, limits, oom score, scheduling and I/O priority "
          "that the object of --process leaves out are the container's too. "
          "Exits as the process did; 255 when it could not be run.",
      .options =
          {console_socket_option,
           pidfd_socket_option,
           {.name = "cwd", .value = "DIR", .help = "working directory in the container"},
           {.name = "env",
            .short_name = 'e',
            .value = "NAME=VALUE",
            .help = "set an environment variable",
            .repeated = true},
           {.name = "tty", .short_name = 't', .help = "give it a terminal"},
           {.name = "interactive",
            .short_name = 'i',
            .help = "taken for docker's sake: standard input is always passed on"},
           {.name = "user", .short_name = 'u', .value = "UID[:GID]", .help = "the user, by number"},
           {.name = "additional-gids",
            .short_name = 'g',
            .value = "GID",
            .help = "a further group",
            .repeated = true},
           {.name = "process",
            .short_name = 'p',
            .value = "FILE",
            .help = "take the process object of the specification from FILE"},
           {.name = "detach", .short_name = 'd', .help = "do not wait for the process"},
           pid_file_option,
           {.name = "process-label", .value = "LABEL", .help = "SELinux label"},
           {.name = "apparmor", .value = "PROFILE", .help = "AppArmor profile"},
           {.name = "no-new-privs", .help = "set no_new_privs"},
           {.name = "cap",
            .short_name = 'c',
            .value = "CAPABILITY",
            .help = "add a capability to the bounding, effective and permitted sets",
            .repeated = true},
           preserve_fds_option,
           {.name = "cgroup",
            .value = "[CONTROLLER,...:]PATH",
            .help = "run it in a cgroup that exists below the container's",
            .repeated = true},
           {.name = "ignore-paused", .help = "also in a paused container, where it will wait"}},
      .least_operands = 1,
      .most_operands = any_number,
      .options_first = true,
      .clones = true,
      .containers = "running",
      .run = exec,
      .failure_code = 255,
      .failure_prefix = "exec failed: "};
}

}  // namespace vessel::cli
