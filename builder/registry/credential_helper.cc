#include "builder/registry/credential_helper.hh"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "builder/progress/progress.hh"
#include "builder/sys/error.hh"
#include "builder/sys/fd.hh"
#include "builder/sys/file.hh"

extern char** environ;

namespace kiln {

namespace {

constexpr size_t answer_limit = size_t{1} << 20;
constexpr auto time_limit = std::chrono::seconds(30);

struct Pipe {
  Fd read, write;
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw SysError("pipe");
    read = Fd(ends[0]);
    write = Fd(ends[1]);
  }
};

// The child, killed and reaped however this ends.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    wait();
  }
  int wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

std::string read_answer(int fd, const std::string& program) {
  const auto end = std::chrono::steady_clock::now() + time_limit;
  std::string text;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd wanted{fd, POLLIN, 0};
    if (left.count() <= 0 || poll(&wanted, 1, static_cast<int>(left.count())) == 0)
      throw Error(program + " gave no answer within 30 seconds");
    char buffer[4096];
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw SysError("read from " + program);
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > answer_limit) throw Error(program + " answers without end");
  }
}

struct Answer {
  bool success;
  std::string text;
};

Answer call(const std::string& name, const std::string& verb, const std::string& input) {
  // The name comes from a file that others may write: it must stay one program's name.
  const bool fine = !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.';
  });
  if (!fine) throw Error("credential helper '" + terminal_text(name) + "' is no program's name");
  const std::string program = "docker-credential-" + name;
  Pipe to, from;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to.read.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from.write.get(), STDOUT_FILENO);
  std::string argument0 = program, argument1 = verb;
  char* arguments[] = {argument0.data(), argument1.data(), nullptr};
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw SysError("run credential helper " + program, error);
  Child child(pid);
  to.read.reset();
  from.write.reset();
  signal(SIGPIPE, SIG_IGN);
  try {
    write_all(to.write.get(), input);  // less than a pipe holds
  } catch (const SysError& e) {
    if (e.code() != EPIPE) throw;
  }
  to.write.reset();
  Answer answer{false, read_answer(from.read.get(), program)};
  const int status = child.wait();
  answer.success = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return answer;
}

// What helpers print when they know nothing, as docker-credential-helpers has it.
bool says_not_found(const std::string& text) {
  return text.find("credentials not found") != text.npos;
}

[[noreturn]] void fail(const std::string& name, const std::string& verb, const std::string& text) {
  throw Error("docker-credential-" + name + " " + verb + " failed: " + terminal_text(text, 200));
}

}  // namespace

std::optional<Credentials> ask_helper(const std::string& name, const std::string& server) {
  const Answer answer = call(name, "get", server);
  if (!answer.success) {
    if (says_not_found(answer.text)) return std::nullopt;
    fail(name, "get", answer.text);
  }
  const auto json = nlohmann::json::parse(answer.text, nullptr, false);
  if (!json.is_object() || !json.contains("Username") || !json.contains("Secret") ||
      !json["Username"].is_string() || !json["Secret"].is_string())
    throw Error("docker-credential-" + name + " get: the answer lacks Username or Secret");
  Credentials result;
  result.user = json["Username"].get<std::string>();
  Secret secret(json["Secret"].get<std::string>());
  if (result.user == "<token>") {
    result.user.clear();
    result.identity_token = std::move(secret);
  } else {
    result.password = std::move(secret);
  }
  return result;
}

void tell_helper(const std::string& name, const std::string& server,
                 const Credentials& credentials) {
  const bool token = !credentials.identity_token.empty();
  const nlohmann::json json = {
      {"ServerURL", server},
      {"Username", token ? "<token>" : credentials.user},
      {"Secret", (token ? credentials.identity_token : credentials.password).reveal()}};
  const Answer answer = call(name, "store", json.dump());
  if (!answer.success) fail(name, "store", answer.text);
}

bool helper_forgets(const std::string& name, const std::string& server) {
  const Answer answer = call(name, "erase", server);
  if (!answer.success && !says_not_found(answer.text)) fail(name, "erase", answer.text);
  return answer.success;
}

}  // namespace kiln
