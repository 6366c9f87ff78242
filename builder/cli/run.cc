#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <nlohmann/json.hpp>

#include "builder/cli/container_options.hh"
#include "builder/cli/output.hh"
#include "builder/cli/snapshots.hh"
#include "builder/steps/bundle.hh"
#include "builder/steps/runtime_call.hh"
#include "builder/sys/file.hh"

namespace kiln::cli {

namespace {

constexpr int own_failure = 125, cannot_invoke = 126, not_found = 127;  // as docker run

constexpr auto options = with_container_rows(std::array{
    Option{.name = "rm", .help = "remove the container's files when it has ended"},
    Option{.name = "name", .argument = "NAME", .help = "of the container [random]"},
    Option{.letter = 'i', .name = "interactive", .help = "keep standard input open"},
    Option{.name = "runtime",
           .argument = "PROGRAM",
           .help = "OCI runtime [vessel beside kiln, or in PATH]",
           .completes = Completes::file},
    Option{.name = "platform", .argument = "OS/ARCH[/VARIANT]", .help = "of an image for several"},
});

constexpr std::array forwarded = {SIGHUP,  SIGINT,   SIGQUIT, SIGTERM, SIGUSR1,
                                  SIGUSR2, SIGWINCH, SIGCONT, SIGALRM};

// The runtime in the foreground, with our own standard streams. Signals sent to kiln reach it;
// those that the terminal sends to the whole foreground group it gets anyhow.
int run_runtime(const std::vector<std::string>& words, bool interactive) {
  sigset_t waited, before;
  sigemptyset(&waited);
  for (const int signal : forwarded) sigaddset(&waited, signal);
  sigaddset(&waited, SIGCHLD);
  sigprocmask(SIG_BLOCK, &waited, &before);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw SysError("fork");
  if (child == 0) {
    sigprocmask(SIG_SETMASK, &before, nullptr);
    // A container must not outlive a kiln that was killed: nobody would remove its files.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(own_failure);
    if (!interactive) {
      const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (null < 0 || dup2(null, STDIN_FILENO) < 0) _exit(own_failure);
    }
    execv(argv[0], argv.data());
    _exit(own_failure);
  }
  int status = 0;
  while (true) {
    siginfo_t info{};
    const int signal = sigwaitinfo(&waited, &info);
    if (signal == SIGCHLD) {
      if (waitpid(child, &status, WNOHANG) == child) break;
    } else if (signal > 0 && info.si_code != SI_KERNEL) {
      kill(child, signal);
    }
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What the runtime wrote to its log last: why it failed.
std::string last_words(int bundle) {
  const std::string log = try_read_file_at(bundle, "runtime.log", size_t{1} << 20).value_or("");
  std::string message;
  for (size_t at = 0; at < log.size();) {
    const size_t end = std::min(log.find('\n', at), log.size());
    const auto line = nlohmann::json::parse(log.substr(at, end - at), nullptr, false);
    at = end + 1;
    if (line.is_object() && line.value("level", "") == "error" && line.contains("msg") &&
        line["msg"].is_string())
      message = line["msg"];
  }
  return message;
}

std::string checked_name(const std::string& name) {
  const auto fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  if (name.size() > 128 || name[0] == '.' || name[0] == '-' || !std::ranges::all_of(name, fine))
    throw UsageError("--name: '" + name + "' is no name, expected A-Z a-z 0-9 _ . -");
  return name;
}

int run(const Arguments& arguments) {
  const auto& operands = arguments.operands();
  const std::string runtime = find_runtime(arguments.text("runtime"));
  Store store(Store::default_directory(arguments.text("store")));
  std::optional<oci::Platform> platform;
  if (const auto text = arguments.value("platform")) {
    platform = oci::parse_platform(*text);
    if (!platform) throw UsageError("--platform: '" + *text + "' is no platform");
  }
  const Image image = load_image(store, operands[0], platform);
  const std::string name =
      arguments.has("name") ? checked_name(arguments.text("name")) : "kiln-" + random_name();
  BundleOptions wanted;
  wanted.container = container_options(arguments, {operands.begin() + 1, operands.end()});
  wanted.container_name = name;
  wanted.ends_with_process = arguments.has("rm");
  const auto snapshots = snapshots_for_bundle(store, arguments.text("rootfs"));
  wanted.snapshots = snapshots.get();
  const MadeBundle made =
      make_bundle(store, image, store.sub_directory("bundles") + "/" + name, wanted);

  const Fd bundle(open(made.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int status =
      run_runtime({runtime, "--log", made.directory + "/runtime.log", "--log-format", "json", "run",
                   "--bundle", made.directory, "--pid-file", made.directory + "/pid", name},
                  arguments.has("interactive") || arguments.has("tty"));
  // Without its pid file the container never started: the status is the runtime's own.
  if (status != 0 && !try_read_file_at(bundle.get(), "pid", 64))
    status = failed_start_code(last_words(bundle.get()));
  if (arguments.has("rm")) remove_bundle(store, made.directory);
  return status;
}

}  // namespace

extern const Verb run_verb;
const Verb run_verb{
    .name = "run",
    .operands = "IMAGE [ARG...]",
    .summary = "Run an image in the foreground through an OCI runtime.",
    .options = options,
    .examples = "kiln run --rm my-app test",
    .least = 1,
    .stop_at_operand = true,
    .error_exit = own_failure,
    .completes = Completes::image,
    .run = run,
};

}  // namespace kiln::cli
