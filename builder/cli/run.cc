#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <nlohmann/json.hpp>

#include "builder/cli/build_registry.hh"
#include "builder/cli/container_options.hh"
#include "builder/cli/output.hh"
#include "builder/cli/snapshots.hh"
#include "builder/steps/bundle.hh"
#include "builder/steps/runtime_call.hh"
#include "builder/store/near_names.hh"
#include "builder/sys/file.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln::cli {

namespace {

constexpr int own_failure = 125;  // as docker run

constexpr auto run_options = with_container_rows(std::array{
    Option{.letter = 'd', .name = "detach", .help = "in the background; prints the name"},
    Option{.name = "rm", .help = "delete the container when it has ended"},
    Option{.name = "name", .argument = "NAME", .help = "of the container [random]"},
    Option{.letter = 'i', .name = "interactive", .help = "keep standard input open"},
    Option{.name = "restart", .argument = "no", .help = "nothing here restarts containers"},
    Option{.name = "runtime",
           .argument = "PROGRAM",
           .help = "OCI runtime [vessel beside kiln, or in PATH]",
           .completes = Completes::file},
    Option{.name = "root",
           .argument = "DIR",
           .help = "the runtime's directory for states",
           .completes = Completes::directory},
    Option{.name = "platform", .argument = "OS/ARCH[/VARIANT]", .help = "of an image for several"},
    Option{.name = "pull",
           .argument = "always|missing|never",
           .help = "when to ask a registry for the image; bare: always",
           .initial = "missing",
           .choices = "always|missing|never",
           .implied = "always"},
});

constexpr std::array forwarded = {SIGHUP,  SIGINT,   SIGQUIT, SIGTERM, SIGUSR1,
                                  SIGUSR2, SIGWINCH, SIGCONT, SIGALRM};

// The runtime in the foreground, with our own standard streams. Signals sent to kiln reach it;
// those that the terminal sends to the whole foreground group it gets anyhow.
// `log`: a file for its output instead, which a container in the background goes on writing to.
int run_runtime(const std::vector<std::string>& words, bool interactive, const std::string& log) {
  sigset_t waited, before;
  sigemptyset(&waited);
  for (const int signal : forwarded) sigaddset(&waited, signal);
  sigaddset(&waited, SIGCHLD);
  sigprocmask(SIG_BLOCK, &waited, &before);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  // The runtime restores the terminal itself unless it is killed.
  termios terminal{};
  const bool has_terminal = tcgetattr(STDIN_FILENO, &terminal) == 0;
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
    if (!log.empty()) {
      const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
      if (file < 0 || dup2(file, STDOUT_FILENO) < 0 || dup2(file, STDERR_FILENO) < 0)
        _exit(own_failure);
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
  if (has_terminal && WIFSIGNALED(status)) tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What the runtime wrote to its log last: why it failed.
std::string last_words(int directory) {
  const std::string log = try_read_file_at(directory, "log", size_t{1} << 20).value_or("");
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

// Where the runtime tells how it went; not in the bundle, which ends with its container.
class RunDirectory {
 public:
  explicit RunDirectory(const Store& store)
      : parent_(open(store.sub_directory("runs").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
        name_(random_name()),
        path_(store.sub_directory("runs") + "/" + name_) {
    if (!parent_) throw SysError("open runs");
    make_dir_at(parent_.get(), name_, 0700);
    directory_ = open_dir_at(parent_.get(), name_);
  }
  ~RunDirectory() {
    for (const char* file : {"log", "pid"}) unlinkat(directory_.get(), file, 0);
    unlinkat(parent_.get(), name_.c_str(), AT_REMOVEDIR);
  }
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }
  int fd() const { return directory_.get(); }

 private:
  Fd parent_;
  std::string name_, path_;
  Fd directory_;
};

// One that died before its container was made, or was of an earlier boot, is in nobody's way.
void make_room(Store& store, const std::string& name, const std::string& directory) {
  if (access(directory.c_str(), F_OK) != 0) return;
  remove_dead_bundles(store);
  if (access(directory.c_str(), F_OK) == 0)
    throw Error("the name " + name +
                " is in use by another container; choose another one with "
                "--name, or remove that with 'vessel delete " +
                name + "'");
}

// vessel's own options stand in for Docker's daemon; other runtimes get what they know.
std::vector<std::string> run_words(const Arguments& arguments, bool is_vessel, bool keep) {
  const bool rm = arguments.has("rm");
  if (!arguments.has("detach"))
    return keep ? std::vector<std::string>{"run", "--keep"} : std::vector<std::string>{"run"};
  if (is_vessel) {
    std::vector<std::string> words = {"run", "--detach", "--log-output", "auto"};
    if (rm) words.emplace_back("--rm");
    return words;
  }
  if (rm || arguments.has("tty"))
    throw UsageError("--detach with --rm or --tty needs vessel as the runtime");
  return {"run", "--detach"};
}

bool is_vessel(const std::string& runtime) {
  return runtime.substr(runtime.rfind('/') + 1).starts_with("vessel");
}

// As docker run: an image that is not here is pulled. Everything of the transfer, its threads too,
// has ended when this returns: what follows may have to enter a user namespace.
Image find_or_pull(Store& store, const std::string& text,
                   const std::optional<oci::Platform>& platform, const std::string& pull) {
  std::optional<Image> image = try_load_image(store, text, platform);
  if (pull == "never" || (image && pull == "missing")) {
    if (image) return std::move(*image);
    return load_image(store, text, platform);  // says that there is none
  }
  const std::unique_ptr<Progress> progress = make_progress(ProgressMode::automatic, STDERR_FILENO);
  const Cancellation cancel;
  try {
    BuildRegistry registry(store, *progress, cancel);
    registry.puller()(require_reference(text), platform.value_or(host_platform()), 0);
  } catch (Error& error) {
    progress->close();
    if (!image) error.prepend(no_such_image(store, text).message() + "; no pull");
    throw;
  }
  progress->close();
  return load_image(store, text, platform);
}

int run(const Arguments& arguments) {
  const auto& operands = arguments.operands();
  if (const std::string restart = arguments.text("restart"); !restart.empty() && restart != "no")
    throw UsageError("--restart " + restart +
                     ": there is no daemon to do it; let systemd run 'kiln run --rm' in a unit "
                     "with Restart=");
  const std::string runtime = find_runtime(arguments.text("runtime"));
  const bool detach = arguments.has("detach"), rm = arguments.has("rm");
  const bool keep = !detach && !rm && (is_vessel(runtime) || can_keep_ended(runtime));
  const std::vector<std::string> verb = run_words(arguments, is_vessel(runtime), keep);
  Store store(Store::default_directory(arguments.text("store")));
  std::optional<oci::Platform> platform;
  if (const auto text = arguments.value("platform")) {
    platform = oci::parse_platform(*text);
    if (!platform) throw UsageError("--platform: '" + *text + "' is no platform");
  }
  const Image image = find_or_pull(store, operands[0], platform, arguments.text("pull"));
  const std::string name =
      arguments.has("name") ? checked_name(arguments.text("name")) : "kiln-" + random_name();
  const std::string directory = store.sub_directory("bundles") + "/" + name;
  make_room(store, name, directory);
  BundleOptions wanted;
  wanted.container =
      container_options(arguments, {operands.begin() + 1, operands.end()}, "default");
  wanted.container_name = name;
  wanted.ends_with_process = !detach && !keep;
  wanted.ends_with_container = true;
  wanted.remove_volumes = rm;
  MadeBundle made{directory, false};
  wanted.process = getpid();
  inside_user_namespace([&] {
    const auto snapshots = snapshots_for_bundle(store, arguments.text("rootfs"));
    wanted.snapshots = snapshots.get();
    made = make_bundle(store, image, directory, wanted);
  });

  const RunDirectory told(store);
  std::vector<std::string> words = {runtime, "--log", told.path() + "/log", "--log-format", "json"};
  if (const auto root = arguments.value("root")) words.insert(words.end(), {"--root", *root});
  words.insert(words.end(), verb.begin(), verb.end());
  words.insert(words.end(), {"--bundle", made.directory, "--pid-file", told.path() + "/pid", name});
  // vessel's monitor keeps the log; under another runtime it is a plain file of the same name.
  const std::string log =
      detach && !is_vessel(runtime) ? made.directory + "/" + name + ".log" : std::string();
  int status =
      run_runtime(words, !detach && (arguments.has("interactive") || arguments.has("tty")), log);
  // Without its pid file the container never started: the status is the runtime's own. In the
  // background any failure is.
  const bool started = try_read_file_at(told.fd(), "pid", 64).has_value();
  if (status != 0 && (detach || !started)) status = failed_start_code(last_words(told.fd()));
  if (status != 0 && !log.empty())
    write_all(STDERR_FILENO, "kiln: run: " + last_words(told.fd()) + "\n");
  if (status == 0 && detach) print(name + "\n");
  const bool failed = status != 0 && !started;
  // Told to keep a container, a runtime also keeps one whose program never ran.
  if (failed && keep) {
    RuntimeCall call{.runtime = runtime, .id = name};
    if (const auto root = arguments.value("root")) call.arguments = {"--root", *root};
    // Not one of the same name that was there before, which may be why.
    if (bundle_of_container(call) == made.directory) delete_container(call);
  }
  // The hook of the bundle did it already, unless the runtime came to nothing before.
  if (failed || (!detach && !keep)) {
    if (access(made.directory.c_str(), F_OK) == 0)
      inside_user_namespace([&] { remove_bundle(store, made.directory, failed || rm); });
  } else if (keep) {
    rest_bundle(made.directory);
  }
  return status;
}

}  // namespace

extern const Verb run_verb;
const Verb run_verb{
    .name = "run",
    .operands = "IMAGE [ARG...]",
    .summary = "Run an image as a container through an OCI runtime.",
    .options = run_options,
    .examples =
        "kiln run --rm -it debian:12 bash\n"
        "kiln run -d --name web -p 8080:80 -v data:/var/lib/web my-web",
    .least = 1,
    .stop_at_operand = true,
    .error_exit = own_failure,
    .completes = Completes::image,
    .run = run,
};

}  // namespace kiln::cli
