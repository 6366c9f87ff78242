#include "builder/steps/in_place_server.hh"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "builder/steps/bare_process.hh"
#include "builder/steps/mount_stubs.hh"
#include "builder/steps/placed_mounts.hh"
#include "builder/sys/descriptor_passing.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"
#include "oci-spec/runtime_config.hh"

namespace kiln {

namespace {

constexpr size_t packet_limit = 65536;
constexpr size_t config_limit = size_t{16} << 20;

struct Request {
  std::string bundle;
  Fd out, err;
};

void send_text(int socket, std::string_view text) {
  if (send(socket, text.data(), text.size(), MSG_NOSIGNAL) < 0)
    throw SysError("send to the other process");
}

// nullopt: kiln is gone.
std::optional<Request> receive(int socket) {
  auto received = receive_descriptors(socket, packet_limit);
  if (!received) return std::nullopt;
  Request request;
  request.bundle = std::move(received->text);
  if (received->descriptors.size() == 2) {
    request.out = std::move(received->descriptors[0]);
    request.err = std::move(received->descriptors[1]);
  }
  return request;
}

int run(const Request& request, int socket, int journal, std::set<FileId>& left) {
  const std::string file = request.bundle + "/config.json";
  const oci::Config config = oci::read_config(read_file_at(AT_FDCWD, file, config_limit), file);
  const Fd root(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open /");
  // Below /dev nothing is made for a runtime, which has one of its own. Goes last.
  MountStubs stubs(root.get());
  for (const oci::Mount& mount : config.mounts)
    if (mount.type == "bind" && mount.destination.starts_with("/dev/"))
      stubs.need(mount.destination, false);
  PlacedMounts mounts(root.get(), journal);
  int status = 0;
  try {
    for (const oci::Mount& mount : config.mounts) mounts.add(mount);
    make_working_directory(root.get(), config.process->cwd);
    BareProcess process{config};
    process.out = request.out.get();
    process.err = request.err.get();
    process.stop = socket;
    status = run_bare_process(process);
  } catch (...) {
    mounts.undo();
    left = mounts.left_files();
    throw;
  }
  mounts.undo();
  left = mounts.left_files();
  return status;
}

void serve(int socket, int journal) {
  while (auto request = receive(socket)) {
    if (!request->out) continue;  // to end what has ended by itself
    std::string answer;
    std::set<FileId> left;
    try {
      answer = "status " + std::to_string(run(*request, socket, journal, left));
    } catch (const std::exception& error) {
      answer = std::string("failed ") + error.what();
      answer.resize(std::min(answer.size(), packet_limit / 2));
    }
    for (const FileId& file : left) answer += '\0' + file_id_text(file);
    request.reset();
    send_text(socket, answer);
  }
}

}  // namespace

InPlaceServer::InPlaceServer(int journal) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw SysError("socketpair");
  socket_ = Fd(ends[0]);
  Fd theirs(ends[1]);
  pid_ = fork();
  if (pid_ < 0) throw SysError("fork");
  if (pid_ > 0) return;
  socket_.reset();
  // Ctrl-C is for kiln, which then says what is to be done.
  for (const int s : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) signal(s, SIG_IGN);
  try {
    serve(theirs.get(), journal);
  } catch (const std::exception&) {
    _exit(1);
  }
  _exit(0);
}

InPlaceServer::~InPlaceServer() {
  socket_.reset();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
}

void InPlaceServer::start(const std::string& bundle, int out, int err) {
  send_descriptors(socket_.get(), bundle, std::array{out, err});
}

void InPlaceServer::stop() noexcept {
  const char end = '\n';
  if (send(socket_.get(), &end, 1, MSG_NOSIGNAL) < 0) return;  // it is gone already
}

RuntimeEnd InPlaceServer::wait() {
  std::string text(packet_limit, '\0');
  ssize_t n = 0;
  do n = recv(socket_.get(), text.data(), text.size(), 0);
  while (n < 0 && errno == EINTR);
  if (n <= 0) throw Error("the process that runs steps was killed");
  text.resize(static_cast<size_t>(n));
  left_files_.clear();
  for (size_t at = text.rfind('\0'); at != text.npos; at = text.rfind('\0')) {
    if (const auto file = parse_file_id(std::string_view(text).substr(at + 1)))
      left_files_.insert(*file);
    text.resize(at);
  }
  RuntimeEnd end;
  if (text.starts_with("status ")) {
    end.status = parse_number<int>(std::string_view(text).substr(7)).value_or(1);
    return end;
  }
  end.status = 127;
  end.never_ran = true;
  end.message = text.starts_with("failed ") ? text.substr(7) : text;
  return end;
}

}  // namespace kiln
