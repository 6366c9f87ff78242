#include "builder/steps/container_network.hh"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr const char* namespace_file = "netns";
constexpr const char* pid_file = "pasta.pid";
constexpr const char* log_file = "pasta.log";
// In the container, for resolvers of the host that listen on loopback only.
constexpr const char* dns_address = "169.254.1.1";

int run_quietly(const std::vector<std::string>& words, const std::string& log) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  // pasta of 2023 takes an ignored SIGPIPE, which a caller may have handed down, for a failure.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw SysError("run " + words[0], error);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw SysError("wait for " + words[0]);
  return status;
}

// pasta complains of syslog in between; those lines say nothing.
std::string last_words(const std::string& log) {
  const std::string text = try_read_file_at(AT_FDCWD, log, size_t{1} << 20).value_or("");
  std::string last;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (!line.empty() && line.find("to syslog") == line.npos) last = line;
  }
  return last;
}

// A file of the bundle that is the namespace: pasta drops the right to look into /proc/PID.
void keep_namespace(const std::string& source, const std::string& file) {
  const Fd made(open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!made) throw SysError("create " + file);
  if (mount(source.c_str(), file.c_str(), nullptr, MS_BIND, nullptr) != 0)
    throw SysError("bind " + source);
}

// Whether the process is the pasta that was started for this bundle.
bool is_ours(int pid, const std::string& mark) {
  const auto line = try_read_file_at(AT_FDCWD, "/proc/" + std::to_string(pid) + "/cmdline", 65536);
  return line && line->find(mark) != line->npos && line->find("pasta") != line->npos;
}

// `mark`: what its command line has.
void end_process(int pid, const std::string& mark) {
  // First the descriptor, then the look: it cannot become another process in between.
  const Fd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process || !is_ours(pid, mark)) return;
  syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0);
  // Its ports are free when it has gone: a container that starts again wants the same ones.
  pollfd gone = {process.get(), POLLIN, 0};
  if (poll(&gone, 1, 5000) == 1) return;
  syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  poll(&gone, 1, 5000);
}

void end_pasta(const std::string& bundle) {
  const auto text = try_read_file_at(AT_FDCWD, bundle + "/" + pid_file, 64);
  if (!text) return;
  const auto pid = parse_number<int>(std::string_view(*text).substr(0, text->find('\n')));
  if (pid && *pid > 1) end_process(*pid, bundle + "/" + pid_file);
}

oci::Hook own_hook(std::vector<std::string> arguments) {
  constexpr int64_t timeout = 60;  // seconds
  std::error_code failed;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed) throw Error("/proc/self/exe: " + failed.message());
  const char* path = getenv("PATH");
  const std::vector<std::string> env = {std::string("PATH=") +
                                        (path == nullptr ? "/usr/sbin:/usr/bin:/sbin:/bin" : path)};
  return {program, std::move(arguments), env, timeout};
}

bool is_loopback(std::string_view address) {
  return address.starts_with("127.") || address == "::1";
}

}  // namespace

oci::Hook connect_hook(const std::vector<PublishedPort>& ports) {
  oci::Hook hook = own_hook({"kiln", "hook", "connect", "--"});
  for (std::string& word : pasta_arguments(ports)) hook.args.push_back(std::move(word));
  return hook;
}

oci::Hook disconnect_hook() {
  return own_hook({"kiln", "hook", "disconnect"});
}

HookState read_hook_state(std::string_view text) {
  const auto document = nlohmann::json::parse(text, nullptr, false);
  HookState state;
  if (!document.is_object()) throw Error("hook: standard input is no state document");
  state.id = document.value("id", "");
  state.bundle = document.value("bundle", "");
  state.pid = document.value("pid", 0);
  if (const auto a = document.find("annotations"); a != document.end() && a->is_object())
    state.runs_again = a->value("run.vessel.restarting", "") == "true";
  if (!state.bundle.starts_with('/')) throw Error("hook: the state names no bundle");
  return state;
}

std::string find_pasta() {
  const char* path = getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::string candidate = std::string(rest.substr(0, colon)) + "/pasta";
    if (candidate.starts_with('/') && access(candidate.c_str(), X_OK) == 0) return candidate;
    rest = colon == rest.npos ? "" : rest.substr(colon + 1);
  }
  throw Error(
      "the container's network needs pasta, which is not in PATH: install the package passt, or "
      "use --network host or --network none");
}

std::vector<std::string> pasta_arguments(const std::vector<PublishedPort>& ports) {
  // Nothing but what was asked for: neither the container's ports on the host, nor the host's own
  // loopback in the container, which pasta would offer under the gateway's address.
  std::vector<std::string> arguments = {"--config-net", "--quiet", "--no-map-gw", "-T",
                                        "none",         "-U",      "none"};
  bool any[2] = {false, false};
  for (const PublishedPort& port : ports) {
    any[port.udp] = true;
    arguments.emplace_back(port.udp ? "-u" : "-t");
    arguments.push_back((port.address.empty() ? "" : port.address + "/") +
                        std::to_string(port.host) + ":" + std::to_string(port.container));
  }
  if (!any[0]) arguments.insert(arguments.end(), {"-t", "none"});
  if (!any[1]) arguments.insert(arguments.end(), {"-u", "none"});
  arguments.insert(arguments.end(), {"--dns-forward", dns_address});
  return arguments;
}

std::string container_resolv_conf(std::string_view host) {
  std::string text;
  bool server = false, dropped = false;
  while (!host.empty()) {
    const size_t end = std::min(host.find('\n'), host.size());
    std::string_view line = host.substr(0, end);
    host.remove_prefix(std::min(end + 1, host.size()));
    if (!line.starts_with("nameserver")) {
      text.append(line).append("\n");
      continue;
    }
    std::string_view address = line.substr(std::string_view("nameserver").size());
    address.remove_prefix(std::min(address.find_first_not_of(" \t"), address.size()));
    address = address.substr(0, address.find_first_of(" \t"));
    dropped = dropped || is_loopback(address);
    if (is_loopback(address)) continue;
    text.append(line).append("\n");
    server = true;
  }
  if (!server && dropped) text += std::string("nameserver ") + dns_address + "\n";
  return text;
}

void connect_network(const HookState& state, const std::vector<std::string>& arguments) {
  if (state.pid <= 0) throw Error("hook: the state names no process");
  disconnect_network(state.bundle);  // what a crash left
  const std::string process = "/proc/" + std::to_string(state.pid);
  std::vector<std::string> words = {find_pasta()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  words.insert(words.end(), {"-P", state.bundle + "/" + pid_file});
  if (geteuid() == 0) {
    const std::string file = state.bundle + "/" + namespace_file;
    keep_namespace(process + "/ns/net", file);
    words.insert(words.end(), {"--netns-only", "--runas", "0", "--netns", file});
  } else {
    words.push_back(std::to_string(state.pid));
  }
  const std::string log = state.bundle + "/" + log_file;
  if (const int status = run_quietly(words, log); status != 0) {
    const std::string why = last_words(log);
    disconnect_network(state.bundle);
    throw Error("pasta: " + (why.empty() ? "exit status " + std::to_string(status) : why));
  }
}

void end_networks_below(const std::string& directory) {
  const std::string mark = std::string("-P") + '\0' + directory + "/";
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", none))
    if (const auto pid = parse_number<int>(entry.path().filename().native());
        pid && is_ours(*pid, mark))
      end_process(*pid, mark);
}

void disconnect_network(const std::string& bundle) {
  end_pasta(bundle);
  const std::string file = bundle + "/" + namespace_file;
  // pasta holds it until it has gone.
  while (umount2(file.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
  for (const char* name : {namespace_file, pid_file, log_file})
    unlink((bundle + "/" + name).c_str());
}

}  // namespace kiln
