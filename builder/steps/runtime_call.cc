#include "builder/steps/runtime_call.hh"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "builder/steps/in_place_server.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

constexpr size_t longest_line = size_t{64} * 1024;
constexpr int most_deletions = 50;  // 0.1 s apart

struct Pipe {
  Fd read, write;
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw SysError("pipe2");
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
};

// posix_spawn's file actions and attributes, released on every way out.
struct SpawnSettings {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    // Its own process group: Ctrl-C reaches kiln alone, which then ends the container in order.
    posix_spawnattr_setpgroup(&attributes, 0);
    sigset_t defaults;
    sigemptyset(&defaults);
    for (int s : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT}) sigaddset(&defaults, s);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
};

pid_t spawn(const std::vector<std::string>& words, int out, int err) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& w : words) argv.push_back(const_cast<char*>(w.c_str()));
  argv.push_back(nullptr);
  SpawnSettings s;
  posix_spawn_file_actions_addopen(&s.actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&s.actions, out, 1);
  posix_spawn_file_actions_adddup2(&s.actions, err, 2);
  pid_t pid = -1;
  if (const int e = posix_spawn(&pid, argv[0], &s.actions, &s.attributes, argv.data(), environ))
    throw SysError("run " + words[0], e);
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw SysError("wait for the runtime");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Cuts a stream into lines.
class Lines {
 public:
  Lines(Stream stream, const LineSink& sink) : stream_(stream), sink_(sink) {}

  void add(std::string_view data) {
    while (!data.empty()) {
      const size_t end = data.find('\n');
      rest_ += data.substr(0, end);
      if (end == std::string_view::npos && rest_.size() < longest_line) return;
      flush();
      data.remove_prefix(end == std::string_view::npos ? data.size() : end + 1);
    }
  }
  void finish() {
    if (!rest_.empty()) flush();
  }

 private:
  void flush() {
    if (rest_.ends_with('\r')) rest_.pop_back();
    sink_(stream_, rest_);
    rest_.clear();
  }
  Stream stream_;
  const LineSink& sink_;
  std::string rest_;
};

std::vector<std::string> command(const RuntimeCall& call, std::initializer_list<std::string> rest) {
  std::vector<std::string> words = {call.runtime};
  words.insert(words.end(), call.arguments.begin(), call.arguments.end());
  words.insert(words.end(), rest);
  return words;
}

// What a command of the runtime prints.
std::string output_of(const std::vector<std::string>& words) {
  constexpr size_t limit = size_t{1} << 20;
  const Fd null(open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!null) throw SysError("open /dev/null");
  Pipe out;
  const pid_t pid = spawn(words, out.write.get(), null.get());
  out.write.reset();
  std::string text = read_fd(out.read.get(), limit, words[0]);
  wait_for(pid);
  return text;
}

// A runtime that is still creating its container has none that could be deleted: so again, until
// it has ended.
int end_container(const RuntimeCall& call, pid_t runtime) {
  for (int attempt = 0; attempt < most_deletions; ++attempt) {
    delete_container(call);
    for (int waited = 0; waited < 20; ++waited) {
      int status = 0;
      if (waitpid(runtime, &status, WNOHANG) == runtime) return status;
      poll(nullptr, 0, 5);
    }
  }
  kill(runtime, SIGKILL);
  delete_container(call);
  return wait_for(runtime);
}

// The runtime's own last error. Its log also has warnings, which say nothing about the end.
std::string last_error(const std::string& path) {
  const auto log = try_read_file_at(AT_FDCWD, path, size_t{1} << 20);
  std::string message;
  for (size_t at = 0; log && at < log->size();) {
    const size_t end = std::min(log->find('\n', at), log->size());
    const auto line = nlohmann::json::parse(log->substr(at, end - at), nullptr, false);
    at = end + 1;
    if (!line.is_object() || !line.contains("msg") || !line["msg"].is_string()) continue;
    const auto level = line.find("level");
    if (level != line.end() && *level == "error") message = line["msg"];
  }
  return message;
}

// What ends with a runtime's process closes its output. Where something has survived a runtime that
// was killed, `end` is called to end that, too; what then still writes is not waited for.
class Survivors {
 public:
  explicit Survivors(std::function<void()> end) : end_(std::move(end)) {}

  void runtime_ended() { since_ = std::chrono::steady_clock::now(); }
  int poll_timeout() const { return since_ ? 100 : -1; }
  bool given_up() {
    if (!since_) return false;
    const auto waited = std::chrono::steady_clock::now() - *since_;
    if (waited > std::chrono::seconds(1) && end_) std::exchange(end_, nullptr)();
    return waited > std::chrono::seconds(5);
  }

 private:
  std::optional<std::chrono::steady_clock::time_point> since_;
  std::function<void()> end_;
};

// Copies both pipes to their sinks until both are closed. `runtime`: its pidfd, or -1. False:
// cancel was requested.
bool pump(int out, int err, Lines& out_lines, Lines& err_lines, const Cancellation& cancel,
          int runtime, Survivors survivors) {
  std::array<pollfd, 4> polled = {
      {{out, POLLIN, 0}, {err, POLLIN, 0}, {cancel.fd(), POLLIN, 0}, {runtime, POLLIN, 0}}};
  std::array<char, 16384> buffer;
  while ((polled[0].fd >= 0 || polled[1].fd >= 0) && !survivors.given_up()) {
    if (poll(polled.data(), polled.size(), survivors.poll_timeout()) < 0) {
      if (errno == EINTR) continue;
      throw SysError("poll");
    }
    if (polled[2].revents != 0) return false;
    if (polled[3].revents != 0) {
      polled[3].fd = -1;
      survivors.runtime_ended();
    }
    for (size_t i = 0; i < 2; ++i) {
      if (polled[i].revents == 0) continue;
      const ssize_t n = read(polled[i].fd, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0)
        polled[i].fd = -1;
      else
        (i == 0 ? out_lines : err_lines).add({buffer.data(), static_cast<size_t>(n)});
    }
  }
  return true;
}

}  // namespace

Cancellation::Cancellation() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!event_) throw SysError("eventfd");
}

void Cancellation::request() noexcept {
  const uint64_t one = 1;
  // A full counter is a request that has been made already.
  if (write(event_.get(), &one, sizeof one) < 0) return;
}

bool Cancellation::requested() const noexcept {
  pollfd p = {event_.get(), POLLIN, 0};
  return poll(&p, 1, 0) == 1;
}

RuntimeEnd run_container(const RuntimeCall& call, const LineSink& sink,
                         const Cancellation& cancel) {
  if (cancel.requested()) throw Canceled();
  // The runtime's own errors come through its log, so that they are told from the command's output.
  const std::string log = call.bundle + "/runtime.log", pid_file = call.bundle + "/pid";
  Pipe out, err;
  pid_t pid = -1;
  if (call.in_place != nullptr)
    call.in_place->start(call.bundle, out.write.get(), err.write.get());
  else
    pid = spawn(command(call, {"--log", log, "--log-format", "json", "run", "--bundle", call.bundle,
                               "--pid-file", pid_file, call.id}),
                out.write.get(), err.write.get());
  out.write.reset();
  err.write.reset();
  Lines out_lines(Stream::out, sink), err_lines(Stream::err, sink);
  const Fd runtime(pid < 0 ? -1 : static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pump(out.read.get(), err.read.get(), out_lines, err_lines, cancel, runtime.get(),
            Survivors([&] { delete_container(call); }))) {
    if (call.in_place != nullptr) {
      call.in_place->stop();
      static_cast<void>(call.in_place->wait());
    } else {
      end_container(call, pid);
    }
    throw Canceled();
  }
  out_lines.finish();
  err_lines.finish();
  if (call.in_place != nullptr) return call.in_place->wait();
  RuntimeEnd end;
  end.status = wait_for(pid);
  // Without its pid file the container never started: the status is the runtime's own. With one,
  // the kernel may still have refused the program (no executable for this machine).
  if (end.status != 0) end.message = last_error(log);
  if (end.status != 0 &&
      (access(pid_file.c_str(), F_OK) != 0 ||
       end.message.find("unable to start container process") != std::string::npos)) {
    end.never_ran = true;
    if (end.message.empty())
      end.message = call.runtime + " ended with status " + std::to_string(end.status);
  }
  return end;
}

void delete_container(const RuntimeCall& call) {
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) throw SysError("open /dev/null");
  wait_for(spawn(command(call, {"delete", "--force", call.id}), null.get(), null.get()));
}

std::string bundle_of_container(const RuntimeCall& call) {
  const auto state =
      nlohmann::json::parse(output_of(command(call, {"state", call.id})), nullptr, false);
  if (!state.is_object()) return "";
  const auto bundle = state.find("bundle");
  return bundle != state.end() && bundle->is_string() ? bundle->get<std::string>() : "";
}

bool can_keep_ended(const std::string& runtime) {
  return output_of({runtime, "run", "--help"}).find("--keep") != std::string::npos;
}

int failed_start_code(std::string_view message) {
  constexpr int own_failure = 125, cannot_invoke = 126, not_found = 127;
  const auto says = [&](std::string_view text) { return message.find(text) != message.npos; };
  if (says("executable file not found") || says("not found in $PATH")) return not_found;
  if (!says("exec")) return own_failure;
  if (says("no such file or directory") || says("not a directory")) return not_found;
  if (says("permission denied") || says("Permission denied") || says("is a directory") ||
      says("exec format error"))
    return cannot_invoke;
  if (says("No such file or directory") || says("Not a directory")) return not_found;
  if (says("Is a directory") || says("Exec format error")) return cannot_invoke;
  return own_failure;
}

std::string find_runtime(std::string_view wanted) {
  namespace fs = std::filesystem;
  const auto executable = [](const fs::path& p) { return access(p.c_str(), X_OK) == 0; };
  const auto in_path = [&](std::string_view name) -> std::string {
    const char* path = getenv("PATH");
    std::string_view rest = path == nullptr ? "/usr/sbin:/usr/bin:/sbin:/bin" : path;
    while (!rest.empty()) {
      const size_t colon = rest.find(':');
      const fs::path candidate = fs::path(rest.substr(0, colon)) / name;
      if (candidate.is_absolute() && executable(candidate)) return candidate;
      rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
    }
    return "";
  };
  if (!wanted.empty()) {
    if (wanted.find('/') != std::string_view::npos) {
      if (executable(fs::path(wanted))) return fs::absolute(fs::path(wanted));
      throw Error("runtime " + std::string(wanted) + ": no such executable");
    }
    std::string found = in_path(wanted);
    if (found.empty()) throw Error("runtime " + std::string(wanted) + ": not found in PATH");
    return found;
  }
  std::error_code ec;
  const fs::path self = fs::read_symlink("/proc/self/exe", ec);
  if (!ec)
    for (const char* beside : {"vessel", "../runtime/vessel", "../sbin/vessel"})
      if (const fs::path p = self.parent_path() / beside; executable(p))
        return p.lexically_normal();
  for (std::string_view name : {"vessel", "crun", "runc"})
    if (std::string found = in_path(name); !found.empty()) return found;
  throw Error(
      "no OCI runtime: looked for vessel beside kiln and for vessel, crun and runc in PATH; "
      "name one with --runtime");
}

}  // namespace kiln
