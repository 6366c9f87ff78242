// `kiln doctor`: which ways of running a step work on this machine for this user, and what is
// missing for the others. Everything is tried, in a child process, and nothing is changed.
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "builder/cli/output.hh"
#include "builder/cli/verb.hh"
#include "builder/snapshot/snapshotter.hh"
#include "builder/steps/runtime_call.hh"
#include "builder/store/store.hh"
#include "builder/sys/container.hh"
#include "builder/sys/file.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln::cli {

namespace {

struct Finding {
  bool good = false;
  std::string text;
};

// `probe` in a child process, so that the namespaces it enters are its own.
Finding in_child(const std::function<Finding()>& probe) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw SysError("pipe2");
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const pid_t child = fork();
  if (child < 0) throw SysError("fork");
  if (child == 0) {
    Finding found;
    try {
      found = probe();
    } catch (const std::exception& error) {
      found = {false, error.what()};
    }
    try {
      write_all(to.get(), (found.good ? "+" : "-") + found.text);
    } catch (const Error&) {
      _exit(1);
    }
    _exit(0);
  }
  to.reset();
  const std::string told = read_fd(from.get(), size_t{1} << 16, "probe");
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) continue;
  if (told.empty()) return {false, "the probe was killed"};
  return {told[0] == '+', told.substr(1)};
}

std::string program_in_path(const std::string& name) {
  const std::string path = getenv("PATH") == nullptr ? "/usr/bin:/bin" : getenv("PATH");
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find(':', at), path.size());
    const std::string file = path.substr(at, end - at) + "/" + name;
    if (access(file.c_str(), X_OK) == 0) return file;
    at = end + 1;
  }
  return "";
}

Finding program(const std::string& name, const std::string& package, const std::string& need) {
  const std::string found = program_in_path(name);
  if (!found.empty()) return {true, found};
  return {false, "not in PATH (package " + package + "): " + need};
}

Finding rights() {
  if (has_capability(CAP_SYS_ADMIN)) return {true, "CAP_SYS_ADMIN: no user namespace is needed"};
  std::string text = geteuid() == 0 ? "root without CAP_SYS_ADMIN" : "an ordinary user";
  return {true, text + ": steps run in a user namespace"};
}

Finding user_namespaces() {
  if (has_capability(CAP_SYS_ADMIN)) return {true, "not needed"};
  const UserNamespace& got = enter_user_namespace();
  if (!got.entered()) return {false, got.why};
  return {true, std::to_string(mapped_ids()) + " ids mapped"};
}

Finding ids() {
  if (has_capability(CAP_SYS_ADMIN)) {
    const uint32_t n = mapped_ids();
    return {n > 65535, n == UINT32_MAX ? "all" : std::to_string(n)};
  }
  const UserNamespace& got = enter_user_namespace();
  if (got.state == UserNamespace::State::ranges) return {true, std::to_string(mapped_ids())};
  if (!got.entered()) return {false, "none"};
  return {false, "one: " + got.why +
                     ". A step that changes owners or users ends the build; as root: usermod "
                     "--add-subuids 100000-165535 --add-subgids 100000-165535 NAME"};
}

// A container's /proc needs a /proc that nothing is mounted over.
Finding proc_mounts() {
  if (!has_capability(CAP_SYS_ADMIN) && !enter_user_namespace().entered())
    return {false, "no user namespace"};
  if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) throw SysError("unshare pid and mount namespaces");
  return in_child([]() -> Finding {
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      throw SysError("make mounts private");
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
      return {false, "mount proc: " + error_text(errno) +
                         ": parts of /proc are covered here (Kubernetes: procMount: Unmasked with "
                         "hostUsers: false; Docker: --security-opt systempaths=unconfined)"};
    return {true, "can be mounted"};
  });
}

Finding overlay(const std::string& store) {
  if (!has_capability(CAP_SYS_ADMIN)) enter_user_namespace();
  static_cast<void>(try_private_mount_namespace());
  struct stat status {};
  std::string place = stat(store.c_str(), &status) == 0 ? store + "/kiln-doctor-XXXXXX"
                                                        : std::string("/tmp/kiln-doctor-XXXXXX");
  if (mkdtemp(place.data()) == nullptr) throw SysError("make a directory in " + store);
  const std::string why = why_no_overlay(place);
  remove_tree_at(AT_FDCWD, place);
  if (why.empty()) return {true, "can be mounted"};
  return {false, why + ": trees are copied instead, which is slower"};
}

Finding listener() {
  const auto actions =
      try_read_file_at(AT_FDCWD, "/proc/sys/kernel/seccomp/actions_avail", 4096).value_or("");
  if (actions.find("user_notif") != actions.npos) return {true, "available"};
  return {false, "this kernel has no seccomp listeners: ids that are not mapped go unnoticed"};
}

Finding runtime(const std::string& wanted) {
  try {
    return {true, find_runtime(wanted)};
  } catch (const Error& error) {
    return {false, error.message()};
  }
}

Finding chroot_mode() {
  if (!has_capability(CAP_SYS_CHROOT))
    return {false, "needs CAP_SYS_CHROOT: only images whose Dockerfile has no RUN can be built"};
  return {true, "works, for steps that need no /proc and no mounts of their own"};
}

Finding in_place_mode() {
  const auto container = find_container();
  if (!container) return {false, "only in a container, and this is none: " + container.error()};
  if (geteuid() != 0) return {false, "needs the container's root user"};
  return {true, "works, and takes away all else in this container (" + *container + ")"};
}

int doctor(const Arguments& arguments) {
  const std::string store = Store::default_directory(arguments.text("store"));
  std::vector<std::vector<std::string>> rows = {{"", "WHAT", "FOUND"}};
  const auto row = [&](const std::string& what, const Finding& found) {
    rows.push_back({found.good ? "ok" : "--", what, found.text});
    return found.good;
  };
  const bool root = has_capability(CAP_SYS_ADMIN);
  row("rights", rights());
  const bool spaces = row("user namespaces", in_child(user_namespaces));
  if (!root) {
    row("newuidmap", program("newuidmap", "uidmap", "only one id can be mapped"));
    row("newgidmap", program("newgidmap", "uidmap", "only one id can be mapped"));
  }
  const bool many = row("mapped ids", in_child(ids));
  const bool proc = row("/proc of a container", in_child(proc_mounts));
  row("overlay", in_child([&] { return overlay(store); }));
  if (!many) row("seccomp listener", listener());
  const bool found = row("runtime", runtime(arguments.text("runtime")));
  row("pasta", program("pasta", "passt", "kiln run has no ports and no network of its own"));
  const bool works = spaces && proc && found;
  row("RUN through the runtime",
      {works, !works ? "does not work: see above"
              : many ? "works"
                     : "works for steps that need no owners, users or groups but root's"});
  row("--isolation chroot", chroot_mode());
  row("--isolation in-place", in_place_mode());
  print(columns(rows));
  if (!works)
    print(
        "\nBetter than the last two: in Kubernetes 'hostUsers: false' with 'procMount: Unmasked' "
        "gives\na pod what is missing. Images whose Dockerfile has no RUN can be built all the "
        "same.\n");
  return works ? 0 : 1;
}

constexpr Option doctor_options[] = {
    {.name = "runtime",
     .argument = "PROGRAM",
     .help = "the OCI runtime to look for [vessel beside kiln, or in PATH]",
     .completes = Completes::file},
};

}  // namespace

extern const Verb doctor_verb;
const Verb doctor_verb{
    .name = "doctor",
    .summary = "Say how steps can be run here, and what is missing.",
    .options = doctor_options,
    .examples = "kiln doctor",
    .most = 0,
    .run = doctor,
};

}  // namespace kiln::cli
