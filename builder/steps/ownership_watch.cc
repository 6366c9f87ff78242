#include "builder/steps/ownership_watch.hh"

#include <fcntl.h>
#include <linux/audit.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <optional>

#include "builder/layer/recorded_owner.hh"
#include "builder/steps/ownership_calls.hh"
#include "builder/sys/descriptor_passing.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/resolve.hh"

namespace kiln {

namespace {

constexpr size_t most_noted = 20;

const OwnershipCall* find_call(const seccomp_data& data) {
  const bool compat = data.arch == AUDIT_ARCH_I386;
  for (const OwnershipCall& c : ownership_calls)
    if (data.nr == (compat ? c.i386 : c.native)) return &c;
  return nullptr;
}

std::string proc_of(uint32_t pid, const std::string& what) {
  return "/proc/" + std::to_string(pid) + "/" + what;
}

// A path argument, as far as it can be read.
std::string text_of(uint32_t pid, uint64_t address) {
  const Fd memory(open(proc_of(pid, "mem").c_str(), O_RDONLY | O_CLOEXEC));
  std::string out;
  char page[256];
  while (memory && out.size() < PATH_MAX) {
    const ssize_t got = pread(memory.get(), page, sizeof page, static_cast<off_t>(address));
    if (got <= 0) break;
    const size_t length = strnlen(page, static_cast<size_t>(got));
    out.append(page, length);
    if (length < static_cast<size_t>(got)) break;
    address += static_cast<uint64_t>(got);
  }
  return out;
}

std::string link_of(const std::string& path) {
  std::array<char, PATH_MAX> buffer;
  const ssize_t n = readlink(path.c_str(), buffer.data(), buffer.size());
  return n <= 0 ? "" : std::string(buffer.data(), static_cast<size_t>(n));
}

// A path of ours as the process names it: in a changed root of the same mount namespace, links of
// /proc lead through that.
std::string seen_by(uint32_t pid, std::string path) {
  const std::string root = link_of(proc_of(pid, "root"));
  if (root.size() > 1 && path.starts_with(root) &&
      (path.size() == root.size() || path[root.size()] == '/'))
    path.erase(0, root.size());
  return path;
}

struct File {
  std::string name;  // as the container sees it
  Fd fd;             // O_PATH; empty when it is not there
};

// The file that a call means. What another thread of the process changes meanwhile is its own
// affair: nothing is allowed here that the kernel would not allow.
File file_of(uint32_t pid, const OwnershipCall& call, const seccomp_data& data) {
  File file;
  const auto& args = data.args;
  const bool at = call.target == CallTarget::at || call.target == CallTarget::at_mode;
  const bool by_fd = call.target == CallTarget::descriptor;
  std::string path = by_fd ? "" : text_of(pid, args[at ? 1 : 0]);
  if (path.empty() && (by_fd || call.target == CallTarget::at)) {
    const std::string link = proc_of(pid, "fd/" + std::to_string(static_cast<int>(args[0])));
    file.name = seen_by(pid, link_of(link));
    file.fd = Fd(open(link.c_str(), O_PATH | O_CLOEXEC));
    return file;
  }
  if (!path.starts_with('/')) {
    const int directory = at ? static_cast<int>(args[0]) : AT_FDCWD;
    const std::string link = directory == AT_FDCWD ? "cwd" : "fd/" + std::to_string(directory);
    path = seen_by(pid, link_of(proc_of(pid, link))) + "/" + path;
  }
  file.name = path;
  const Fd root(open(proc_of(pid, "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return file;
  const bool keep_link = call.target == CallTarget::link ||
                         (call.target == CallTarget::at && (args[4] & AT_SYMLINK_NOFOLLOW) != 0);
  if (auto found = try_open_in_root(root.get(), path, O_PATH | (keep_link ? O_NOFOLLOW : 0)))
    file.fd = std::move(*found);
  return file;
}

std::string number(uint64_t id) {
  return static_cast<uint32_t>(id) == UINT32_MAX ? "-1" : std::to_string(static_cast<uint32_t>(id));
}

}  // namespace

OwnershipWatch::OwnershipWatch(int directory, uint32_t ids)
    : ids_(ids),
      directory_(fcntl(directory, F_DUPFD_CLOEXEC, 3)),
      name_("seccomp"),
      socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(eventfd(0, EFD_CLOEXEC)) {
  if (!directory_ || !socket_ || !stop_) throw SysError("seccomp listener");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Through the descriptor: a store's path can be longer than a socket's may be.
  const std::string path = "/proc/self/fd/" + std::to_string(directory_.get()) + "/" + name_;
  memcpy(address.sun_path, path.c_str(), path.size());
  if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(socket_.get(), 4) != 0)
    throw SysError("listen on the seccomp socket");
  thread_ = std::thread([this] { serve(); });
}

OwnershipWatch::~OwnershipWatch() {
  const uint64_t one = 1;
  if (write(stop_.get(), &one, sizeof one) == sizeof one)
    thread_.join();
  else
    thread_.detach();
  unlinkat(directory_.get(), name_.c_str(), 0);
}

void OwnershipWatch::watch(oci::Config& config) const {
  auto& seccomp = config.linux_->seccomp;
  if (!seccomp) {
    seccomp.emplace();
    seccomp->default_action = "SCMP_ACT_ALLOW";
#if defined(__x86_64__)
    seccomp->architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#endif
  }
  const bool allows = seccomp->default_action == "SCMP_ACT_ALLOW";
  seccomp->listener_path =
      "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(directory_.get()) + "/" + name_;
  const auto ours = [](const std::string& name) {
    return std::ranges::find(ownership_calls, name, &OwnershipCall::name) !=
           std::end(ownership_calls);
  };
  for (oci::SeccompSyscall& rule : seccomp->syscalls) std::erase_if(rule.names, ours);
  std::erase_if(seccomp->syscalls, [](const auto& rule) { return rule.names.empty(); });
  for (const OwnershipCall& call : ownership_calls) {
    const std::vector<std::string> name = {std::string(call.name)};
    const bool all = call.ids == 0 || ids_ == 1;
    if (all) {
      seccomp->syscalls.push_back({name, "SCMP_ACT_NOTIFY", {}, {}});
      continue;
    }
    // -1, "leave as it is", is reported too: the answer to that is quick.
    std::vector<oci::SeccompArg> fine;
    for (uint32_t i = call.first_id; i < uint32_t{call.first_id} + call.ids; ++i) {
      seccomp->syscalls.push_back({name, "SCMP_ACT_NOTIFY", {}, {{i, ids_, 0, "SCMP_CMP_GE"}}});
      fine.push_back({i, ids_, 0, "SCMP_CMP_LT"});
    }
    if (!allows) seccomp->syscalls.push_back({name, "SCMP_ACT_ALLOW", {}, std::move(fine)});
  }
}

std::vector<std::string> OwnershipWatch::refused() {
  const std::lock_guard lock(mutex_);
  return refused_;
}

void OwnershipWatch::note(std::string text) {
  const std::lock_guard lock(mutex_);
  if (refused_.size() < most_noted && std::ranges::find(refused_, text) == refused_.end())
    refused_.push_back(std::move(text));
}

// Each container has one listener; the runtime brings it over a connection of its own.
void OwnershipWatch::serve() {
  std::vector<Fd> listeners;
  while (true) {
    std::vector<pollfd> polled = {{stop_.get(), POLLIN, 0}, {socket_.get(), POLLIN, 0}};
    for (const Fd& fd : listeners) polled.push_back({fd.get(), POLLIN, 0});
    if (poll(polled.data(), polled.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (polled[0].revents != 0) return;
    for (size_t i = polled.size(); i-- > 2;) {
      if ((polled[i].revents & POLLIN) != 0) answer(listeners[i - 2].get());
      // The last process under the filter has ended.
      else if (polled[i].revents != 0)
        listeners.erase(listeners.begin() + static_cast<ptrdiff_t>(i) - 2);
    }
    if ((polled[1].revents & POLLIN) != 0) accept_one(socket_.get(), listeners);
  }
}

void OwnershipWatch::accept_one(int socket, std::vector<Fd>& listeners) {
  const Fd connection(accept4(socket, nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection) return;
  const timeval patience{10, 0};
  setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  auto received = receive_descriptors(connection.get(), 65536);
  if (!received) return;
  // Only the listener: a runtime may send a pidfd of the container along.
  for (Fd& got : received->descriptors)
    if (link_of("/proc/self/fd/" + std::to_string(got.get())).find("seccomp") != std::string::npos)
      listeners.push_back(std::move(got));
}

void OwnershipWatch::answer(int listener) {
  seccomp_notif call{};
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return;  // its process was killed
  seccomp_notif_resp reply{};
  reply.id = call.id;
  const OwnershipCall* known = find_call(call.data);
  // With one group, programs that only want to lose theirs are told that they have.
  const bool groups = known != nullptr && known->name.starts_with("setgroups");
  if (groups && ids_ == 1 && call.data.args[0] == 0) {
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
    return;
  }
  judge(call);
  // The kernel itself refuses what is not mapped, with the error that programs know.
  reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

bool OwnershipWatch::judge(const seccomp_notif& notice) {
  const seccomp_data& data = notice.data;
  const OwnershipCall* call = find_call(data);
  if (call == nullptr) {
    note("system call " + std::to_string(data.nr) + " of another architecture");
    return true;
  }
  std::string text(call->name);
  if (call->name.starts_with("setgroups")) {
    if (ids_ > 1) return false;
    note(text + " to " + std::to_string(data.args[0]) + " groups");
    return true;
  }
  if (call->name.starts_with("mknod")) {
    const auto mode = static_cast<mode_t>(data.args[call->target == CallTarget::at_mode ? 2 : 1]);
    const uint64_t device = data.args[call->target == CallTarget::at_mode ? 3 : 2];
    // Whiteouts (character device 0:0) need no privilege since 5.8.
    if ((!S_ISCHR(mode) && !S_ISBLK(mode)) || (S_ISCHR(mode) && device == 0)) return false;
    note(text + " of the device " + file_of(notice.pid, *call, data).name);
    return true;
  }
  bool refused = false;
  text += "(";
  for (uint8_t i = 0; i < call->ids; ++i) {
    const uint64_t id = data.args[call->first_id + i];
    const bool same = static_cast<uint32_t>(id) == UINT32_MAX;
    refused |= !same && static_cast<uint32_t>(id) >= ids_;
    text += (i == 0 ? "" : ", ") + number(id);
  }
  text += ")";
  if (call->target == CallTarget::none) {
    if (refused) note(std::move(text));
    return refused;
  }
  const File file = file_of(notice.pid, *call, data);
  if (!file.fd) return false;  // fails for another reason, and would with all ids
  if (refused)
    note(text + " of " + file.name);
  else if (static_cast<uint32_t>(data.args[call->first_id]) == 0)
    // A file of a base that stands here as root's becomes root's for real.
    removexattr(("/proc/self/fd/" + std::to_string(file.fd.get())).c_str(), owner_xattr);
  return refused;
}

}  // namespace kiln
