#include "runtime/cli/launch_options.hh"
#include "runtime/cli/verbs.hh"
#include "runtime/operations/run.hh"
#include "runtime/sys/file.hh"

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
  Created created = create_container(request_of(globals, arguments));
  created.init.let_go();
  return 0;
}

int run(const Globals& globals, const Arguments& arguments) {
  RunRequest request;
  request.create = request_of(globals, arguments);
  request.create.detach = arguments.flag("detach");
  request.subreaper = !arguments.flag("no-subreaper");
  request.keep = arguments.flag("keep");
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
  return {.name = "run",
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
