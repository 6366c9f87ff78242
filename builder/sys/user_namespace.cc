#include "builder/sys/user_namespace.hh"

#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>

#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"

namespace kiln {

namespace {

constexpr size_t small_file = size_t{1} << 20;

UserNamespace current;

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::optional<std::string> try_word(const std::string& path) {
  auto text = try_read_file_at(AT_FDCWD, path, 4096);
  if (text) text = trimmed(std::move(*text));
  return text;
}

struct Account {
  std::string name, home;
};

Account account_of(uid_t id) {
  passwd entry{};
  passwd* found = nullptr;
  std::string buffer(16384, '\0');
  if (getpwuid_r(id, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return {std::to_string(id), ""};
  return {found->pw_name, found->pw_dir};
}

std::string map_text(const std::vector<IdExtent>& extents) {
  std::string text;
  for (const IdExtent& e : extents)
    text += std::to_string(e.inside) + " " + std::to_string(e.outside) + " " +
            std::to_string(e.count) + "\n";
  return text;
}

// The kernel takes a map in one write only.
bool write_once(const std::string& path, std::string_view text) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::vector<IdExtent> own_map(const char* path) {
  std::vector<IdExtent> out;
  const std::string text = try_read_file_at(AT_FDCWD, path, small_file).value_or("");
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::array<uint32_t, 3> numbers{};
    size_t n = 0;
    for (size_t i = at; i < end && n < 3;) {
      i = text.find_first_not_of(' ', i);
      if (i >= end) break;
      const size_t stop = std::min(text.find(' ', i), end);
      numbers[n++] = parse_number<uint32_t>(std::string_view(text).substr(i, stop - i)).value_or(0);
      i = stop;
    }
    at = end + 1;
    if (n == 3) out.push_back({numbers[0], numbers[1], numbers[2]});
  }
  return out;
}

// Every id of here under its own number. One less than all: a full map is how the first namespace
// is told from others.
std::vector<IdExtent> identity(const char* path) {
  std::vector<IdExtent> out = own_map(path);
  for (IdExtent& e : out) {
    e.outside = e.inside;
    e.count = std::min(e.count, UINT32_MAX - 1);
  }
  return out;
}

struct Wanted {
  bool direct = false;  // we may write any map ourselves
  std::vector<IdExtent> uids, gids;
  std::string why_single;  // when there is no range
};

bool in_path(const char* name) {
  const std::string path = getenv("PATH") == nullptr ? "/usr/bin:/bin" : getenv("PATH");
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find(':', at), path.size());
    if (access((path.substr(at, end - at) + "/" + name).c_str(), X_OK) == 0) return true;
    at = end + 1;
  }
  return false;
}

Wanted wanted_maps(const Account& account) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (has_capability(CAP_SETUID) && has_capability(CAP_SETGID))
    return {true, identity("/proc/self/uid_map"), identity("/proc/self/gid_map"), ""};
  Wanted out;
  const auto ranges = [&](const char* file, std::vector<IdExtent>& into, uint32_t own) {
    into =
        parse_subids(try_read_file_at(AT_FDCWD, file, small_file).value_or(""), account.name, uid);
    if (into.empty()) {
      out.why_single += out.why_single.empty() ? "" : ", ";
      out.why_single += account.name + " has no range in " + file;
    }
    into.insert(into.begin(), {0, own, 1});
  };
  ranges("/etc/subuid", out.uids, uid);
  ranges("/etc/subgid", out.gids, gid);
  if (out.why_single.empty() && !(in_path("newuidmap") && in_path("newgidmap")))
    out.why_single = "newuidmap and newgidmap (package uidmap) are not in PATH";
  return out;
}

// Runs `program PID INSIDE OUTSIDE COUNT…`; what it says goes to `say`.
pid_t start_map_program(const char* program, pid_t of, const std::vector<IdExtent>& extents,
                        int say) {
  std::vector<std::string> words = {program, std::to_string(of)};
  for (const IdExtent& e : extents)
    for (uint32_t n : {e.inside, e.outside, e.count}) words.push_back(std::to_string(n));
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, say, STDERR_FILENO);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, program, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? pid : -1;
}

bool ended_well(pid_t pid) {
  int status = 0;
  while (pid > 0 && waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return false;
  return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Who writes the maps has to stay outside: a child of before, told when, that ends with what it
// could do.
class Outside {
 public:
  enum Failed : int { none = 0, uids = 1, gids = 2 };

  explicit Outside(const Wanted& wanted) {
    std::array<int, 2> go{}, say{};
    if (pipe2(go.data(), O_CLOEXEC) != 0) throw SysError("pipe2");
    const Fd go_read(go[0]);
    go_ = Fd(go[1]);
    if (pipe2(say.data(), O_CLOEXEC) != 0) throw SysError("pipe2");
    said_ = Fd(say[0]);
    const Fd say_write(say[1]);
    const pid_t target = getpid();
    pid_ = fork();
    if (pid_ < 0) throw SysError("fork");
    if (pid_ > 0) return;
    go_.reset();
    char byte = 0;
    // An end of file: the namespace was refused, or its process has died.
    if (read(go_read.get(), &byte, 1) != 1) _exit(0);
    _exit(write_maps(wanted, target, say_write.get()));
  }

  // What failed, and its words.
  int map(std::string& words) {
    const char byte = 1;
    if (write(go_.get(), &byte, 1) != 1) return uids | gids;
    go_.reset();
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0)
      if (errno != EINTR) return uids | gids;
    words = trimmed(read_fd(said_.get(), small_file, "newuidmap"));
    std::ranges::replace(words, '\n', ' ');
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : uids | gids;
  }
  ~Outside() {
    go_.reset();
    if (pid_ > 0) static_cast<void>(ended_well(pid_));
  }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  static int write_maps(const Wanted& wanted, pid_t target, int say) {
    const std::string proc = "/proc/" + std::to_string(target);
    if (wanted.direct)
      return (write_once(proc + "/uid_map", map_text(wanted.uids)) ? none : uids) |
             (write_once(proc + "/gid_map", map_text(wanted.gids)) ? none : gids);
    const pid_t u = start_map_program("newuidmap", target, wanted.uids, say);
    const pid_t g = start_map_program("newgidmap", target, wanted.gids, say);
    const bool user = ended_well(u), group = ended_well(g);
    return (user ? none : uids) | (group ? none : gids);
  }

  Fd go_, said_;
  pid_t pid_ = -1;
};

void map_single(int failed, uid_t uid, gid_t gid) {
  if ((failed & Outside::uids) != 0) {
    current.uids = {{0, uid, 1}};
    if (!write_once("/proc/self/uid_map", map_text(current.uids)))
      throw SysError("write /proc/self/uid_map");
  }
  if ((failed & Outside::gids) != 0) {
    current.gids = {{0, gid, 1}};
    // user_namespaces(7): without CAP_SETGID above, a group map needs setgroups denied for good.
    static_cast<void>(write_once("/proc/self/setgroups", "deny"));
    if (!write_once("/proc/self/gid_map", map_text(current.gids)))
      throw SysError("write /proc/self/gid_map");
  }
}

void enter() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  const Account account = account_of(uid);
  const Wanted wanted = wanted_maps(account);
  const bool ranges = wanted.why_single.empty();
  std::optional<Outside> outside;
  if (ranges) outside.emplace(wanted);
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    const int error = errno;
    current.why = why_no_user_namespace(error);
    return;
  }
  int failed = Outside::uids | Outside::gids;
  current.uids = wanted.uids;
  current.gids = wanted.gids;
  std::string words;
  if (outside) failed = outside->map(words);
  map_single(failed, uid, gid);
  // Id 0 would find root's home.
  if (!account.home.empty()) setenv("HOME", account.home.c_str(), 0);
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    const int error = errno;
    current.why = "mount in a user namespace: " + error_text(error);
    if (try_word("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1")
      current.why +=
          ": sysctl kernel.apparmor_restrict_unprivileged_userns is 1; set it to 0 or "
          "give kiln an AppArmor profile with 'userns,'";
    return;
  }
  if (failed == 0) {
    current.state = UserNamespace::State::ranges;
    return;
  }
  current.state = UserNamespace::State::single;
  current.why = !ranges         ? wanted.why_single
                : words.empty() ? "the maps of ids could not be written"
                                : words;
}

}  // namespace

std::vector<IdExtent> parse_subids(std::string_view text, std::string_view user, uint32_t id) {
  std::vector<IdExtent> out;
  uint32_t next = 1;
  while (!text.empty() && out.size() < subid_limit) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string_view who = line.substr(0, first);
    if (who != user && who != std::to_string(id)) continue;
    const auto start = parse_number<uint32_t>(line.substr(first + 1, second - first - 1));
    const auto count = parse_number<uint32_t>(line.substr(second + 1));
    if (!start || !count || *count == 0 || *start > UINT32_MAX - *count) continue;
    if (next > UINT32_MAX - *count) break;
    out.push_back({next, *start, *count});
    next += *count;
  }
  return out;
}

bool has_capability(int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, data) != 0) return geteuid() == 0;
  return (data[capability / 32].effective >> (capability % 32) & 1) != 0;
}

std::string why_no_user_namespace(int error, const std::string& proc) {
  std::string out = "unshare(CLONE_NEWUSER): " + error_text(error) + ": ";
  const auto setting = [&](const std::string& path) { return try_word(proc + "/sys/" + path); };
  if (error == ENOSPC) {
    const auto most = setting("user/max_user_namespaces");
    return out + "sysctl user.max_user_namespaces is " + most.value_or("reached") +
           (most == "0" ? "; as root: sysctl -w user.max_user_namespaces=15000"
                        : ", and so many are in use or forbidden further up");
  }
  if (error == EINVAL || error == ENOSYS)
    return out + "this kernel has no user namespaces (CONFIG_USER_NS)";
  if (error == EUSERS) return out + "user namespaces are nested 32 deep already";
  if (setting("kernel/unprivileged_userns_clone") == "0")
    return out +
           "sysctl kernel.unprivileged_userns_clone is 0; as root: sysctl -w "
           "kernel.unprivileged_userns_clone=1";
  if (setting("user/max_user_namespaces") == "0")
    return out +
           "sysctl user.max_user_namespaces is 0; as root: sysctl -w "
           "user.max_user_namespaces=15000";
  const std::string status = try_read_file_at(AT_FDCWD, proc + "/self/status", 65536).value_or("");
  if (status.find("\nSeccomp:\t2") != status.npos)
    return out +
           "the seccomp filter of this container forbids it (Docker: --security-opt "
           "seccomp=unconfined; Kubernetes: hostUsers: false with procMount: Unmasked)";
  return out + "forbidden here (in a chroot, or by a security module)";
}

uint32_t mapped_ids() {
  const auto from_zero = [](const char* path) {
    std::vector<IdExtent> map = own_map(path);
    std::ranges::sort(map, {}, &IdExtent::inside);
    uint32_t next = 0;
    for (const IdExtent& e : map)
      if (e.inside <= next)
        next = std::max(next, e.inside + std::min(e.count, UINT32_MAX - e.inside));
    return next;
  };
  return std::min(from_zero("/proc/self/uid_map"), from_zero("/proc/self/gid_map"));
}

const UserNamespace& enter_user_namespace() {
  if (current.state != UserNamespace::State::not_entered || has_capability(CAP_SYS_ADMIN))
    return current;
  current.state = UserNamespace::State::refused;
  try {
    enter();
  } catch (const Error& error) {
    current.why = error.message();
  }
  return current;
}

void inside_user_namespace(const std::function<void()>& work) {
  if (has_capability(CAP_SYS_ADMIN)) return work();
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw SysError("pipe2");
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const pid_t child = fork();
  if (child < 0) throw SysError("fork");
  if (child == 0) {
    int status = 0;
    try {
      enter_user_namespace();
      work();
    } catch (const std::exception& error) {
      const std::string_view text = error.what();
      status = write(to.get(), text.data(), text.size()) < 0 ? 2 : 1;
    }
    _exit(status);
  }
  to.reset();
  const std::string message = read_fd(from.get(), small_file, "child");
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) throw SysError("wait");
  if (!message.empty()) throw Error(message);
  if (status != 0) throw Error("the process in the user namespace was killed");
}

const UserNamespace& user_namespace() {
  return current;
}

}  // namespace kiln
