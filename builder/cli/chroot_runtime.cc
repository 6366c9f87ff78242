// `kiln chroot-runtime`: what `kiln build --isolation chroot` calls in the place of an OCI runtime,
// with as much of its command line: a bundle's process in a changed root, and nothing more.
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <grp.h>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "builder/cli/verb.hh"
#include "builder/steps/chroot_mounts.hh"
#include "builder/steps/mount_stubs.hh"
#include "builder/store/lease.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"
#include "builder/sys/resolve.hh"

namespace kiln::cli {

namespace {

constexpr size_t config_limit = size_t{16} << 20;

constexpr Option options[] = {
    {.name = "root", .argument = "DIR", .help = "where its state is"},
    {.name = "log", .argument = "FILE", .help = "errors, a JSON object a line"},
    {.name = "log-format", .argument = "KIND", .help = "json", .choices = "json"},
    {.name = "bundle", .argument = "DIR", .help = "with config.json"},
    {.name = "pid-file", .argument = "FILE", .help = "written once the program runs"},
    {.name = "force", .help = "delete: kill it first"},
};

void write_path(const std::string& path, std::string_view text) {
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) throw SysError("create " + path);
  write_all(file.get(), text);
}

// Kills and reaps every descendant: this process is their reaper.
void end_descendants() {
  const std::string path = "/proc/self/task/" + std::to_string(getpid()) + "/children";
  while (true) {
    const std::string text = try_read_file_at(AT_FDCWD, path, size_t{1} << 20).value_or("");
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(' ', at), text.size());
      if (const auto pid = kiln::parse_number<pid_t>(std::string_view(text).substr(at, end - at)))
        kill(*pid, SIGKILL);
      at = end + 1;
    }
    // All that there were have been killed: one of them ends now, and its own children become ours.
    if (waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
  }
}

void lone_network() {
  if (unshare(CLONE_NEWNET) != 0)
    throw SysError("--network=none: a network namespace of its own (CAP_SYS_ADMIN)");
  const Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  request.ifr_name[0] = 'l';
  request.ifr_name[1] = 'o';
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (!any || ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) throw SysError("set lo up");
}

void set_rlimits(const std::vector<oci::Rlimit>& limits) {
  static constexpr std::pair<std::string_view, int> names[] = {
      {"RLIMIT_AS", RLIMIT_AS},
      {"RLIMIT_CORE", RLIMIT_CORE},
      {"RLIMIT_CPU", RLIMIT_CPU},
      {"RLIMIT_DATA", RLIMIT_DATA},
      {"RLIMIT_FSIZE", RLIMIT_FSIZE},
      {"RLIMIT_LOCKS", RLIMIT_LOCKS},
      {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
      {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
      {"RLIMIT_NICE", RLIMIT_NICE},
      {"RLIMIT_NOFILE", RLIMIT_NOFILE},
      {"RLIMIT_NPROC", RLIMIT_NPROC},
      {"RLIMIT_RSS", RLIMIT_RSS},
      {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
      {"RLIMIT_RTTIME", RLIMIT_RTTIME},
      {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
      {"RLIMIT_STACK", RLIMIT_STACK}};
  for (const oci::Rlimit& limit : limits) {
    const auto* known = std::ranges::find(names, limit.type, [](const auto& n) { return n.first; });
    const rlimit value{limit.soft, limit.hard};
    if (known == std::end(names) ||
        setrlimit(static_cast<__rlimit_resource>(known->second), &value) != 0)
      throw SysError("set " + limit.type);
  }
}

// In the child: never returns. What fails is thrown, and reported by the parent.
void become(const oci::Config& config, int root) {
  const oci::Process& process = *config.process;
  for (const oci::Namespace& n : config.linux_->namespaces)
    if (n.type == "network") lone_network();
  set_rlimits(process.rlimits);
  if (fchdir(root) != 0 || chroot(".") != 0) throw SysError("chroot (CAP_SYS_CHROOT)");
  umask(0022);
  if (chdir(process.cwd.c_str()) != 0) throw SysError("change to " + process.cwd);
  if (setgroups(process.user.additional_gids.size(), process.user.additional_gids.data()) != 0)
    throw SysError("set groups (CAP_SETGID)");
  if (setresgid(process.user.gid, process.user.gid, process.user.gid) != 0)
    throw SysError("set group");
  if (setresuid(process.user.uid, process.user.uid, process.user.uid) != 0)
    throw SysError("set user");
  std::vector<char*> argv, env;
  for (const std::string& w : process.args) argv.push_back(const_cast<char*>(w.c_str()));
  for (const std::string& e : process.env) env.push_back(const_cast<char*>(e.c_str()));
  argv.push_back(nullptr);
  env.push_back(nullptr);
  clearenv();
  for (const std::string& e : process.env)
    if (e.starts_with("PATH=")) setenv("PATH", e.c_str() + 5, 1);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execvpe(argv[0], argv.data(), env.data());
  throw SysError("exec " + process.args[0]);
}

struct State {
  std::string path;
  Fd directory;
};

State open_state(const Arguments& arguments, const std::string& id, bool make) {
  if (id.empty() || id[0] == '.' || id.find('/') != id.npos) throw UsageError("no id: " + id);
  const Fd parent(open(arguments.text("root").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) throw SysError("open " + arguments.text("root"));
  if (make) make_dir_at(parent.get(), id, 0700);
  State state{arguments.text("root"), Fd(openat(parent.get(), id.c_str(),
                                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))};
  return state;
}

void remove_state(const State& state, const std::string& id) {
  const Fd parent(open(state.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (parent) remove_tree_at(parent.get(), id);
}

int run_process(const oci::Config& config, int root, const std::string& pid_file) {
  sigset_t waited;
  sigemptyset(&waited);
  for (const int s : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&waited, s);
  sigprocmask(SIG_BLOCK, &waited, nullptr);
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw SysError("pipe2");
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const pid_t child = fork();
  if (child < 0) throw SysError("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      become(config, root);
    } catch (const std::exception& error) {
      const std::string_view text = error.what();
      if (write(to.get(), text.data(), text.size()) < 0) _exit(126);
    }
    _exit(127);
  }
  to.reset();
  const std::string failure = read_fd(from.get(), 65536, "child");
  if (failure.empty()) write_path(pid_file, std::to_string(child));
  int status = 0;
  while (true) {
    siginfo_t info{};
    const int signal = sigwaitinfo(&waited, &info);
    if (signal == SIGCHLD) {
      // Orphans of the command end here, too.
      pid_t ended = 0;
      int how = 0;
      bool over = false;
      while ((ended = waitpid(-1, &how, WNOHANG)) > 0)
        if (ended == child) status = how, over = true;
      if (over) break;
    } else if (signal > 0) {
      status = signal;
      break;
    }
  }
  end_descendants();
  if (!failure.empty()) throw Error(failure);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run(const Arguments& arguments, const std::string& id) {
  const pid_t parent = getppid();
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) return 1;
  const std::string file = arguments.text("bundle") + "/config.json";
  const oci::Config config = oci::read_config(read_file_at(AT_FDCWD, file, config_limit), file);
  const State state = open_state(arguments, id, true);
  if (!state.directory) throw SysError("open state of " + id);
  write_file_atomic(state.directory.get(), "pid",
                    std::to_string(getpid()) + " " + std::to_string(process_start(getpid())));
  const Fd root(open(config.root->path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) throw SysError("open " + config.root->path);
  int status = 0;
  {
    MountStubs stubs(root.get());
    ChrootMounts mounts(root.get(), state.directory.get());
    // kiln makes no stubs below /dev, where a runtime mounts a directory of its own. First, so that
    // they go last and /dev has its time back.
    for (const oci::Mount& mount : config.mounts)
      if (mount.type == "bind" && mount.destination.starts_with("/dev/"))
        stubs.need(mount.destination, false);
    mounts.add_devices();
    for (const oci::Mount& mount : config.mounts) mounts.add(mount);
    // As a runtime does: a working directory that is missing is made.
    for (size_t at = 0; at != std::string::npos;) {
      at = config.process->cwd.find('/', at + 1);
      const std::string part = config.process->cwd.substr(0, at);
      if (try_open_in_root(root.get(), part, O_PATH | O_DIRECTORY)) continue;
      const InRootName made = open_parent_in_root(root.get(), part);
      make_dir_at(made.parent.get(), made.name, 0755);
    }
    status = run_process(config, root.get(), arguments.text("pid-file"));
  }
  remove_state(state, id);
  return status;
}

void remove_container(const Arguments& arguments, const std::string& id) {
  const State state = open_state(arguments, id, false);
  if (!state.directory) return;
  const std::string text = try_read_file_at(state.directory.get(), "pid", 256).value_or("");
  const size_t space = text.find(' ');
  const auto pid = kiln::parse_number<pid_t>(text.substr(0, space));
  const auto start = space == text.npos
                         ? std::nullopt
                         : kiln::parse_number<uint64_t>(std::string_view(text).substr(space + 1));
  const auto alive = [&] { return pid && start && process_start(*pid) == *start; };
  constexpr int patience = 1000;  // times 10 ms
  for (int i = 0; alive() && i < patience; ++i) {
    if (i == 0) kill(*pid, SIGTERM);
    usleep(10'000);
  }
  if (alive()) kill(*pid, SIGKILL);
  recover_chroot_mounts(state.directory.get());
  remove_state(state, id);
}

int chroot_runtime(const Arguments& arguments) {
  const std::string& what = arguments.operands()[0];
  const std::string& id = arguments.operands()[1];
  if (what != "run" && what != "delete") throw UsageError("expected run or delete");
  try {
    if (what == "run") return run(arguments, id);
    remove_container(arguments, id);
    return 0;
  } catch (const Error& error) {
    if (!arguments.has("log")) throw;
    const nlohmann::json line = {{"level", "error"}, {"msg", error.message()}};
    write_path(arguments.text("log"),
               line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return 1;
  }
}

}  // namespace

extern const Verb chroot_runtime_verb;
const Verb chroot_runtime_verb{
    .name = "chroot-runtime",
    .operands = "run|delete ID",
    .summary = "Called by build --isolation chroot in the place of an OCI runtime.",
    .options = options,
    .examples = "kiln chroot-runtime --root DIR --bundle DIR --pid-file FILE run ID",
    .least = 2,
    .most = 2,
    .hidden = true,
    .run = chroot_runtime,
};

}  // namespace kiln::cli
