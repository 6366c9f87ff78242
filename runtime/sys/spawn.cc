#include "runtime/sys/spawn.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <climits>
#include <csignal>

#include "runtime/sys/error.hh"
#include "runtime/sys/fd_batch.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/process.hh"

namespace vessel {

namespace {

constexpr size_t pipe_room = 65536;
constexpr off_t output_limit = 4096, whole_output_limit = 16 << 20;

std::pair<Fd, Fd> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) throw SysError("pipe2");
  return {Fd(fds[0]), Fd(fds[1])};
}

Fd make_memory_file(const char* name) {
  Fd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd) throw SysError("memfd_create");
  return fd;
}

// stdin that is filled before the program exists, so that nobody has to feed it: a pipe as far as
// one holds it.
Fd make_input(std::string_view text) {
  if (text.empty()) return open_file(AT_FDCWD, "/dev/null", O_RDONLY);
  if (text.size() > pipe_room) {
    Fd file = make_memory_file("stdin");
    write_all(file.get(), text, "stdin");
    if (::lseek(file.get(), 0, SEEK_SET) < 0) throw SysError("lseek");
    return file;
  }
  auto [reader, writer] = make_pipe();
  write_all(writer.get(), text, "stdin");
  return std::move(reader);
}

std::string tail_of(const Fd& file, off_t limit) {
  off_t size = ::lseek(file.get(), 0, SEEK_END);
  off_t from = std::max<off_t>(0, size - limit);
  std::string text(static_cast<size_t>(std::max<off_t>(0, size - from)), '\0');
  ssize_t got = ::pread(file.get(), text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  for (const std::string& s : strings) list.push_back(const_cast<char*>(s.c_str()));
  list.push_back(nullptr);
  return list;
}

}  // namespace

ProgramResult run_program(const ProgramCall& call) {
  std::vector<std::string> args = call.args.empty() ? std::vector{call.path} : call.args;
  std::vector<char*> argv = pointers(args), envp = pointers(call.env);
  Fd input = make_input(call.input);
  Fd output;
  if (!call.inherit_output) output = make_memory_file("output");
  auto [error_reader, error_writer] = make_pipe();

  Clone child = clone_process({});
  if (child.pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (call.umask) ::umask(static_cast<mode_t>(*call.umask));
    if (!call.directory.empty()) [[maybe_unused]]
      int stays = ::chdir(call.directory.c_str());
    bool ready = ::dup2(input.get(), 0) == 0;
    if (output) ready = ready && ::dup2(output.get(), 1) == 1 && ::dup2(output.get(), 2) == 2;
    mark_close_on_exec_from(3);
    if (ready) ::execve(call.path.c_str(), argv.data(), envp.data());
    int error = errno;
    [[maybe_unused]] ssize_t ignored = ::write(error_writer.get(), &error, sizeof error);
    ::_exit(127);
  }
  error_writer.reset();
  int error = 0;
  ssize_t got;
  do got = ::read(error_reader.get(), &error, sizeof error);
  while (got < 0 && errno == EINTR);
  if (got == sizeof error) {
    reap(child.pid);
    throw SysError("exec " + call.path, error);
  }
  ProgramResult result;
  int64_t limit = call.timeout_seconds.value_or(-1);
  int timeout = limit < 0 || limit > INT_MAX / 1000 ? -1 : static_cast<int>(limit * 1000);
  if (!wait_gone(child.pidfd, timeout)) {
    result.timed_out = true;
    send_signal(child.pidfd, SIGKILL);
  }
  result.wait_status = reap(child.pid);
  if (output)
    result.output = tail_of(output, call.whole_output ? whole_output_limit : output_limit);
  return result;
}

std::string describe(const ProgramResult& result) {
  std::string text;
  if (result.timed_out)
    text = "timed out";
  else if (WIFSIGNALED(result.wait_status))
    text = "signal " + std::to_string(WTERMSIG(result.wait_status));
  else
    text = "exit status " + std::to_string(WEXITSTATUS(result.wait_status));
  if (!result.output.empty()) text += ": " + result.output;
  return text;
}

}  // namespace vessel
