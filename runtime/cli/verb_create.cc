#include <memory>
#include <tuple>

#include "runtime/cli/launch_options.hh"
#include "runtime/cli/verbs.hh"
#include "runtime/operations/log_writer.hh"
#include "runtime/operations/monitor.hh"
#include "runtime/operations/run.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/number.hh"

namespace vessel::cli {

namespace {

CreateRequest request_of(const Globals& globals, const Arguments& arguments) {
  CreateRequest request;
  request.root = globals.root;
  request.id = arguments.operand(0);
  request.bundle = arguments.value("bundle");
  request.console_socket = arguments.value("console-socket");
  request.pidfd_socket = arguments.value("pidfd-socket");
  request.pid_file = arguments.value("pid-file");
  request.systemd_cgroup = globals.systemd_cgroup;
  request.rootless = globals.rootless;
  request.no_pivot = arguments.flag("no-pivot");
  request.no_new_keyring = arguments.flag("no-new-keyring");
  request.preserve_fds = count_of(arguments, "preserve-fds");
  return request;
}

int create(const Globals& globals, const Arguments& arguments) {
  auto created = std::make_unique<Created>(create_container(request_of(globals, arguments)));
  created->init.let_go();
  std::ignore = created.release();
  return 0;
}

void run_with_monitor(CreateRequest create, const Arguments& arguments) {
  if (!create.detach) throw UsageError("--log-output is for --detach");
  for (const char* other : {"console-socket", "preserve-fds"})
    if (arguments.given(other))
      throw UsageError("--log-output: not together with --" + std::string(other));
  MonitorRequest request;
  request.create = std::move(create);
  request.log = arguments.value("log-output");
  if (request.log.empty()) throw UsageError("--log-output: expected a file or auto");
  request.log_size = default_log_size;
  if (arguments.given("log-size")) {
    auto size = parse_number<uint64_t>(arguments.value("log-size"), 4096);
    if (!size) throw UsageError("--log-size: expected a number of bytes of at least 4096");
    request.log_size = *size;
  }
  request.remove = arguments.flag("rm");
  run_monitored(std::move(request));
}

int run(const Globals& globals, const Arguments& arguments) {
  RunRequest request;
  request.create = request_of(globals, arguments);
  request.create.detach = arguments.flag("detach");
  request.subreaper = !arguments.flag("no-subreaper");
  request.keep = arguments.flag("keep");
  if (arguments.given("log-output")) {
    run_with_monitor(std::move(request.create), arguments);
    return 0;
  }
  if (arguments.flag("rm") && request.create.detach)
    throw UsageError(
        "--rm: a detached container needs --log-output FILE|auto, whose monitor deletes it");
  if (arguments.flag("rm") && request.keep) throw UsageError("--rm and --keep exclude each other");
  return run_container(std::move(request));
}

}  // namespace

Verb create_verb() {
  return {.name = "create",
          .usage = "create a container",
          .operands = "<container-id>",
          .description =
              "Makes a container from a bundle, a directory with config.json and a root "
              "file system. Its process waits for `start`.",
          .options = {bundle_option, console_socket_option, pidfd_socket_option, pid_file_option,
                      no_pivot_option, no_new_keyring_option, preserve_fds_option},
          .least_operands = 1,
          .most_operands = 1,
          .clones = true,
          .run = create,
          .failure_prefix = "vessel create failed: "};
}

Verb run_verb() {
  return {
      .name = "run",
      .usage = "create and run a container",
      .operands = "<container-id>",
      .description =
          "create and start in one. In the foreground it forwards signals and the "
          "terminal, exits as the container's process did and deletes the "
          "container.",
      .options = {bundle_option,
                  console_socket_option,
                  pidfd_socket_option,
                  {.name = "detach", .short_name = 'd', .help = "do not wait for the process"},
                  {.name = "keep", .help = "do not delete the container after it has exited"},
                  {.name = "log-output",
                   .value = "FILE",
                   .help = "with --detach: keep its output in FILE, or auto: BUNDLE/ID.log; "
                           "starts a monitor"},
                  {.name = "log-size",
                   .value = "BYTES",
                   .help = "begin a new log when it is this long, keep one old (default: 10 MiB)"},
                  {.name = "rm", .help = "delete the container after it has exited"},
                  pid_file_option,
                  {.name = "no-subreaper",
                   .help = "do not become the reaper of the container's orphans"},
                  no_pivot_option,
                  no_new_keyring_option,
                  preserve_fds_option},
      .least_operands = 1,
      .most_operands = 1,
      .clones = true,
      .run = run,
      .failure_prefix = "vessel run failed: "};
}

}  // namespace vessel::cli
