// `kiln chroot-runtime`: what `kiln build --isolation chroot` calls in the place of an OCI runtime,
// with as much of its command line: a bundle's process in a changed root, and nothing more.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "builder/cli/verb.hh"
#include "builder/layer/tree.hh"
#include "builder/snapshot/remove_files.hh"
#include "builder/steps/bare_process.hh"
#include "builder/steps/mount_stubs.hh"
#include "builder/steps/placed_mounts.hh"
#include "builder/steps/run_step.hh"
#include "builder/store/lease.hh"
#include "builder/sys/file.hh"
#include "builder/sys/number.hh"
#include "builder/sys/resolve.hh"

namespace kiln::cli {

namespace {

constexpr size_t config_limit = size_t{16} << 20;
// In the state: where the root's files really are, and what directory the root is.
constexpr const char* written_file = "written";
constexpr const char* root_file = "root";

constexpr Option chroot_runtime_options[] = {
    {.name = "root", .argument = "DIR", .help = "where its state is"},
    {.name = "log", .argument = "FILE", .help = "errors, a JSON object a line"},
    {.name = "log-format", .argument = "KIND", .help = "json", .choices = "json"},
    {.name = "bundle", .argument = "DIR", .help = "with config.json"},
    {.name = "pid-file", .argument = "FILE", .help = "written once the program runs"},
    {.name = "force", .help = "delete: kill it first"},
};

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

// Secrets and scripts that the command linked or moved elsewhere are no part of the layer.
void remove_left_files(PlacedMounts& mounts, int root) {
  mounts.undo();
  const size_t removed = remove_files(root, mounts.left_files());
  if (removed == 0) return;
  const std::string text = std::to_string(removed) +
                           " copies of mounted files were left elsewhere by the command; they are "
                           "not kept in the layer\n";
  write_all(STDERR_FILENO, text);
}

// What a process that was killed had put down. Its root may have been a mount of its own, gone with
// it: then the files are found where that wrote to.
void remove_placed(int state) {
  const std::set<FileId> lost = recover_placed_mounts(state);
  const auto written = try_read_file_at(state, written_file, 4096);
  const Fd tree(written ? open(written->c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                        : -1);
  struct stat status {};
  if (!tree || fstat(tree.get(), &status) != 0) return;
  std::set<FileId> files;
  for (const auto& [device, inode] : lost) files.emplace(status.st_dev, inode);
  remove_files(tree.get(), files);
}

// The root directory of a process: which, and where it is mounted. Device and inode alone may be
// another mount's by now.
std::string root_text(const std::string& link) {
  struct stat status {};
  std::array<char, 4096> path;
  const ssize_t n = readlink(link.c_str(), path.data(), path.size());
  if (n <= 0 || stat(link.c_str(), &status) != 0) return "";
  return file_id_text({status.st_dev, status.st_ino}) + " " +
         std::string(path.data(), static_cast<size_t>(n));
}

// Kills what has that directory, a step's own, as its root. As often as new ones appear.
void end_processes_in(const std::string& root) {
  if (root.empty() || root == root_text("/proc/self/root")) return;
  constexpr int rounds = 100;  // times 10 ms
  for (int i = 0; i < rounds; ++i) {
    bool found = false;
    const Fd proc(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!proc) return;
    for (const std::string& name : list_directory(proc.get())) {
      const auto pid = kiln::parse_number<pid_t>(name);
      if (!pid || root_text("/proc/" + name + "/root") != root) continue;
      found = true;
      kill(*pid, SIGKILL);
    }
    if (!found) return;
    usleep(10'000);
  }
}

int run(const Arguments& arguments, const std::string& id) {
  const pid_t parent = getppid();
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
  if (const auto written = config.annotations.find(written_annotation);
      written != config.annotations.end())
    write_file_atomic(state.directory.get(), written_file, written->second);
  write_file_atomic(state.directory.get(), root_file,
                    root_text("/proc/self/fd/" + std::to_string(root.get())));
  int status = 0;
  {
    MountStubs stubs(root.get());
    PlacedMounts mounts(root.get(), state.directory.get());
    // kiln makes no stubs below /dev, where a runtime mounts a directory of its own. First, so that
    // they go last and /dev has its time back.
    for (const oci::Mount& mount : config.mounts)
      if (mount.type == "bind" && mount.destination.starts_with("/dev/"))
        stubs.need(mount.destination, false);
    mounts.add_devices();
    for (const oci::Mount& mount : config.mounts) mounts.add(mount);
    make_working_directory(root.get(), config.process->cwd);
    BareProcess process{config};
    process.root = root.get();
    process.pid_file = arguments.text("pid-file");
    try {
      status = run_bare_process(process);
    } catch (const Error&) {
      remove_left_files(mounts, root.get());
      throw;
    }
    remove_left_files(mounts, root.get());
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
  // With SIGKILL the command ended, too, but not what it had sent into the background.
  end_processes_in(try_read_file_at(state.directory.get(), root_file, 8192).value_or(""));
  remove_placed(state.directory.get());
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
    write_file_atomic(AT_FDCWD, arguments.text("log"),
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
    .options = chroot_runtime_options,
    .examples = "kiln chroot-runtime --root DIR --bundle DIR --pid-file FILE run ID",
    .least = 2,
    .most = 2,
    .hidden = true,
    .run = chroot_runtime,
};

}  // namespace kiln::cli
