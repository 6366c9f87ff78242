#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "builder/cli/output.hh"
#include "builder/cli/registry_command.hh"
#include "builder/sys/file.hh"

namespace kiln::cli {

namespace {

constexpr size_t line_limit = 64 << 10;

constexpr Option login_options[] = {
    {.letter = 'u', .name = "username", .argument = "NAME", .help = "else it is asked for"},
    {.name = "password-stdin",
     .help = "read the password or token from standard input (there is no option for the password "
             "itself: ps would show it)"},
    authfile_option,
    insecure_option,
};

constexpr Option logout_options[] = {
    {.letter = 'a', .name = "all", .help = "of every registry in the file (not in helpers)"},
    authfile_option,
};

volatile sig_atomic_t stopped_by = 0;

// While it lives, signals that would end kiln end the reading instead.
class StoppedReading {
 public:
  StoppedReading() {
    stopped_by = 0;
    struct sigaction action {};
    action.sa_handler = [](int number) { stopped_by = number; };  // no SA_RESTART: read returns
    for (size_t i = 0; i < numbers.size(); ++i) sigaction(numbers[i], &action, &before_[i]);
  }
  StoppedReading(const StoppedReading&) = delete;
  StoppedReading& operator=(const StoppedReading&) = delete;
  ~StoppedReading() {
    for (size_t i = 0; i < numbers.size(); ++i) sigaction(numbers[i], &before_[i], nullptr);
  }

 private:
  static constexpr std::array numbers = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
  std::array<struct sigaction, numbers.size()> before_{};
};

// Asks on the terminal, whatever standard input is.
class Terminal {
 public:
  Terminal() : fd_(open("/dev/tty", O_RDWR | O_CLOEXEC)) {
    if (!fd_) throw UsageError("no terminal to ask on; give --username and --password-stdin");
  }

  std::string ask(const std::string& question, bool hidden) {
    const StoppedReading stopped;
    termios before{};
    if (hidden) {
      if (tcgetattr(fd_.get(), &before) != 0) throw SysError("read the terminal's settings");
      termios silent = before;
      silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
      tcsetattr(fd_.get(), TCSAFLUSH, &silent);
    }
    write_all(fd_.get(), question);  // silent by now: whoever sees it may type
    std::string line;
    char c;
    while (stopped_by == 0 && read(fd_.get(), &c, 1) == 1 && c != '\n' && line.size() < line_limit)
      line += c;
    if (hidden) tcsetattr(fd_.get(), TCSAFLUSH, &before);
    if (hidden || stopped_by != 0) write_all(fd_.get(), "\n");
    if (stopped_by != 0) _exit(128 + stopped_by);
    return line;
  }

 private:
  Fd fd_;
};

// "https://host/" and "host/path" lead to the host too.
std::string host_of(std::string text) {
  for (const std::string_view scheme : {"https://", "http://"})
    if (text.starts_with(scheme)) text.erase(0, scheme.size());
  while (text.ends_with('/')) text.pop_back();
  const auto parsed = parse_reference(text + "/x");
  // A word without dot or port is read as a path of the default registry: no host.
  if (!parsed || (parsed->domain != text && text != "index.docker.io" && text != "docker.io"))
    throw UsageError("'" + text + "' is no registry, like registry.example or host:5000");
  return parsed->domain;
}

Credentials ask(const Arguments& arguments, const std::string& host) {
  Credentials credentials;
  credentials.user = arguments.text("username");
  std::string password;
  if (arguments.has("password-stdin")) {
    if (credentials.user.empty()) throw UsageError("--password-stdin needs --username");
    password = read_fd(STDIN_FILENO, line_limit, "password");
    while (password.ends_with('\n') || password.ends_with('\r')) password.pop_back();
  } else {
    Terminal terminal;
    if (credentials.user.empty()) credentials.user = terminal.ask("User of " + host + ": ", false);
    password = terminal.ask("Password: ", true);
  }
  if (credentials.user.empty() || password.empty()) throw Error("no user or an empty password");
  if (credentials.user.find(':') != std::string::npos)
    throw Error("a user's name cannot contain ':' (RFC 7617)");
  credentials.password = Secret(std::move(password));
  return credentials;
}

int login(const Arguments& arguments) {
  const std::string host =
      arguments.operands().empty() ? "docker.io" : host_of(arguments.operands()[0]);
  const Credentials credentials = ask(arguments, host);
  Registries registries = load_registries();
  registries.insecure_all = arguments.has("insecure");
  HttpClient http(registries.limits, {});
  Session session(http, registries.endpoint(host));
  session.set_credentials(credentials);
  session.log_in();
  const std::string file = login_file(arguments.text("authfile"));
  const std::string helper = store_credentials(file, host, credentials);
  print("Logged in at " + host + ", credentials kept " +
        (helper.empty() ? "unencrypted in " + file + " (readable by you alone)"
                        : "by docker-credential-" + printable(helper)) +
        "\n");
  return 0;
}

int logout(const Arguments& arguments) {
  const std::string file = login_file(arguments.text("authfile"));
  if (arguments.has("all")) {
    if (!arguments.operands().empty()) throw UsageError("--all and a registry exclude each other");
    print(std::to_string(erase_all_credentials(file)) + " registries forgotten\n");
    return 0;
  }
  const std::string host =
      arguments.operands().empty() ? "docker.io" : host_of(arguments.operands()[0]);
  if (!erase_credentials(file, host)) throw Error("not logged in at " + host + " in " + file);
  print("Logged out of " + host + "\n");
  return 0;
}

}  // namespace

extern const Verb login_verb;
const Verb login_verb{
    .name = "login",
    .operands = "[REGISTRY]",
    .summary = "Keep credentials for a registry, once it accepts them.",
    .options = login_options,
    .examples =
        "kiln login registry.example\n"
        "kiln login -u ci --password-stdin registry.example < token",
    .most = 1,
    .run = login,
};

extern const Verb logout_verb;
const Verb logout_verb{
    .name = "logout",
    .operands = "[REGISTRY]",
    .summary = "Forget the credentials for a registry.",
    .options = logout_options,
    .examples = "kiln logout registry.example",
    .most = 1,
    .run = logout,
};

}  // namespace kiln::cli
