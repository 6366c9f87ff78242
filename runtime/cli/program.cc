#include "runtime/cli/program.hh"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

#include "runtime/cli/help.hh"
#include "runtime/cli/verbs.hh"
#include "runtime/cli/version.hh"
#include "runtime/container/id.hh"
#include "runtime/host/facts.hh"
#include "runtime/security/sealed_self.hh"
#include "runtime/sys/fd.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/log.hh"

namespace vessel::cli {

namespace {

// Before anything is opened: a descriptor of ours must never take the number of a missing stdio,
// and the container's process must not get it as such.
void open_missing_stdio() {
  // What is opened gets the lowest free number: where that is above 2, none is missing.
  Fd lowest(::open("/", O_PATH | O_CLOEXEC));
  if (lowest.get() > 2) return;
  lowest.reset();
  for (int fd = 0; fd < 3; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0) return;
}

// Root of a user namespace has no /run of its own where a user made that namespace (podman without
// root); where it is root for all around it, as in a container, USER says so. As runc decides.
bool is_without_root() {
  if (::geteuid() != 0) return true;
  const char* directory = std::getenv("XDG_RUNTIME_DIR");
  if (!directory || !*directory || !in_user_namespace()) return false;
  const char* user = std::getenv("USER");
  return !user || std::string_view(user) != "root";
}

Globals globals_of(const Arguments& arguments) {
  Globals globals;
  globals.debug = arguments.flag("debug");
  globals.systemd_cgroup = arguments.flag("systemd-cgroup");
  std::string rootless = arguments.value("rootless");
  if (rootless != "auto") globals.rootless = bool_of(rootless, "rootless");
  globals.root = arguments.value("root");
  if (globals.root.empty()) globals.root = default_state_root(is_without_root());
  globals.root = absolute_path(globals.root);
  while (globals.root.size() > 1 && globals.root.back() == '/') globals.root.pop_back();
  return globals;
}

void check_operands(const Verb& verb, const Arguments& arguments) {
  size_t count = arguments.operands().size();
  if (count >= verb.least_operands &&
      (verb.most_operands == any_number || count <= verb.most_operands))
    return;
  throw UsageError("\"" + std::string(verb.name) + "\" takes " +
                   (verb.operands.empty() ? "no arguments" : std::string(verb.operands)) +
                   ", got " + std::to_string(count) + " argument" + (count == 1 ? "" : "s"));
}

bool refuses_help(const Verb& verb) {
  return verb.hidden && verb.most_operands == any_number;  // checkpoint, restore
}

int carry_out(const Verb& verb, const Globals& globals, const std::vector<std::string>& words) {
  try {
    if (refuses_help(verb)) return verb.run(globals, Arguments());
    Arguments arguments = Arguments::parse(words, verb.options, verb.options_first);
    if (arguments.flag("help")) {
      print(verb_help(verb));
      return 0;
    }
    check_operands(verb, arguments);
    return verb.run(globals, arguments);
  } catch (const UsageError& e) {
    print("Incorrect Usage: " + e.message() + "\n\n" + verb_help(verb));
    log::fail(e.what());
    return 1;
  } catch (const std::exception& e) {
    log::fail(std::string(verb.failure_prefix) + e.what());
    return verb.failure_code;
  }
}

}  // namespace

int run_program(int argc, char** argv, char** envp) {
  open_missing_stdio();
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  try {
    Arguments arguments = Arguments::parse(words, global_options(), true);
    if (arguments.flag("version")) {
      print(version_text());
      return 0;
    }
    const auto& operands = arguments.operands();
    if (operands.empty() || arguments.flag("help") || operands[0] == "help" || operands[0] == "h") {
      const auto verb = operands.size() > 1 ? find_verb(operands[1]) : std::nullopt;
      print(verb ? verb_help(*verb) : program_help());
      return 0;
    }
    const std::optional<Verb> verb = find_verb(operands[0]);
    if (!verb) {
      const Verb* meant = nearest_verb(operands[0]);
      write_all(STDERR_FILENO,
                "No help topic for '" + operands[0] + "'" +
                    (meant ? "; did you mean '" + std::string(meant->name) + "'?" : "") + "\n",
                "standard error");
      return 3;
    }
    std::string format = arguments.value("log-format");
    if (format != "text" && format != "json") throw UsageError("invalid log-format: " + format);
    // Everything that is cloned into a container is this program until its execve.
    if (verb->clones) {
      SelfProtection kind = ensure_protected_self(argv, envp);
      log::open(arguments.value("log"), format == "json", arguments.flag("debug"));
      log::step(std::string("running from a ") + name_of(kind));
      // Joined namespaces may hold curious processes; an unprivileged caller's children must stay
      // writable for their id maps and do this themselves.
      if (::geteuid() == 0) ::prctl(PR_SET_DUMPABLE, 0);
    } else {
      log::open(arguments.value("log"), format == "json", arguments.flag("debug"));
    }
    return carry_out(*verb, globals_of(arguments), {operands.begin() + 1, operands.end()});
  } catch (const UsageError& e) {
    print("Incorrect Usage: " + e.message() + "\n\n" + program_help());
    log::fail(e.what());
  } catch (const std::exception& e) {
    log::fail(e.what());
  }
  return 1;
}

}  // namespace vessel::cli
