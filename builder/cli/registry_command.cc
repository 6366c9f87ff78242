#include "builder/cli/registry_command.hh"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace kiln::cli {

namespace {

std::atomic<bool> transfer_interrupted = false;

void on_interrupt(int signal) {
  if (transfer_interrupted.exchange(true)) _exit(128 + signal);
}

ProgressMode mode_of(const Arguments& arguments) {
  return arguments.has("quiet") ? ProgressMode::quiet : progress_mode(arguments.text("progress"));
}

Registries registries_of(const Arguments& arguments) {
  Registries registries = load_registries();
  registries.insecure_all = arguments.has("insecure");
  return registries;
}

}  // namespace

RegistryCommand::RegistryCommand(const Arguments& arguments)
    : access_(registries_of(arguments), arguments.text("authfile"),
              [] { return transfer_interrupted.load(); }),
      progress_(make_progress(mode_of(arguments), STDERR_FILENO)) {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  for (int s : {SIGINT, SIGTERM, SIGHUP}) sigaction(s, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

RegistryCommand::~RegistryCommand() {
  progress_->close();
}

std::optional<oci::Platform> platform_argument(const Arguments& arguments) {
  const auto text = arguments.value("platform");
  if (!text) return std::nullopt;
  auto platform = oci::parse_platform(*text);
  if (!platform) throw UsageError("--platform: '" + *text + "' is no platform, like linux/arm64");
  return platform;
}

}  // namespace kiln::cli
