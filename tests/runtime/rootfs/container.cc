#include "tests/runtime/rootfs/container.hh"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "runtime/rootfs/sources.hh"
#include "runtime/sys/error.hh"

namespace rootfs_test {

namespace {

vessel::Fd source_tree(const vessel::MountStep& step) {
  vessel::Fd tree = vessel::open_bind_source(std::get<vessel::BindMount>(step.what));
  if (step.idmap)
    vessel::apply_idmap(tree.get(), vessel::make_idmap_namespace(*step.idmap).get(),
                        step.idmap->recursive);
  return tree;
}

// Answers that were made ahead, before the child left the host's namespaces.
class PreparedServices : public vessel::RootfsServices {
 public:
  explicit PreparedServices(const vessel::Plan& plan) : plan_(plan) {
    for (const size_t index : vessel::served_sources(plan))
      trees_[index] = source_tree(plan.rootfs.mounts[index]);
    for (size_t i = 0; i < plan.rootfs.mounts.size(); ++i)
      if (const auto& step = plan.rootfs.mounts[i];
          step.idmap && std::holds_alternative<vessel::FilesystemMount>(step.what))
        namespaces_[i] = vessel::make_idmap_namespace(*step.idmap);
    root_ = vessel::open_root_tree(plan.rootfs);
  }
  vessel::Fd open_root() override { return std::move(root_); }
  vessel::Fd open_source(size_t mount) override { return std::move(trees_.at(mount)); }
  vessel::Fd idmap_namespace(size_t mount) override { return std::move(namespaces_.at(mount)); }
  vessel::Fd open_device(size_t device) override {
    return vessel::open_device_source(plan_.rootfs.devices[device]);
  }

 private:
  const vessel::Plan& plan_;
  std::map<size_t, vessel::Fd> trees_, namespaces_;
  vessel::Fd root_;
};

void write_file(const std::string& path, const std::string& text) {
  const vessel::Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), text.data(), text.size()) < 0) throw vessel::SysError("write " + path);
}

void enter_user_namespace() {
  int ready[2], mapped[2];
  if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(mapped, O_CLOEXEC) < 0) throw vessel::SysError("pipe");
  const pid_t target = getpid();
  const pid_t mapper = fork();
  char byte = 0;
  if (mapper == 0) {
    if (read(ready[0], &byte, 1) != 1) _exit(1);
    const std::string directory = "/proc/" + std::to_string(target);
    write_file(directory + "/uid_map", "0 100000 65536\n");
    write_file(directory + "/gid_map", "0 100000 65536\n");
    _exit(0);
  }
  if (unshare(CLONE_NEWUSER) < 0) throw vessel::SysError("unshare a user namespace");
  if (write(ready[1], &byte, 1) != 1) throw vessel::SysError("write");
  int status = 0;
  waitpid(mapper, &status, 0);
  if (status != 0) throw vessel::Error("the id maps could not be written");
  if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) throw vessel::SysError("setresuid");
}

Verdict set_up_and_check(Container& container, const std::function<Verdict()>& check) {
  try {
    PreparedServices services(container.plan);
    if (container.namespaces & CLONE_NEWUSER) enter_user_namespace();
    if (unshare(container.namespaces & ~CLONE_NEWUSER) < 0) throw vessel::SysError("unshare");
    container.before();
    // A pid namespace begins with the next child.
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) < 0) throw vessel::SysError("pipe");
    const pid_t init = fork();
    if (init != 0) {
      close(pipe_ends[1]);
      std::string verdict;
      char buffer[4096];
      for (ssize_t got; (got = read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
        verdict.append(buffer, static_cast<size_t>(got));
      int status = 0;
      waitpid(init, &status, 0);
      if (status != 0) verdict += " [init ended with status " + std::to_string(status) + "]";
      return verdict;
    }
    Verdict verdict;
    try {
      const std::map<std::string, std::string> no_cgroups;
      vessel::RootfsSetup setup(container.plan, container.layout, services, no_cgroups, false);
      setup.prepare();
      setup.mounts();
      if (!container.only_mounts) {
        setup.devices();
        container.before_switch(setup);
        setup.switch_root();
        setup.restrict_paths();
        setup.finish();
      }
      verdict = check();
    } catch (const std::exception& error) {
      verdict = error.what();
    }
    if (write(pipe_ends[1], verdict.data(), verdict.size()) < 0) _exit(3);
    _exit(0);
  } catch (const std::exception& error) {
    return std::string("harness: ") + error.what();
  }
}

}  // namespace

Container::Container() : namespaces(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) {
  char name[] = "/tmp/vessel-rootfs-XXXXXX";
  base = mkdtemp(name);
  chmod(base.c_str(), 0755);
  directory("root");
  plan.rootfs.path = at("root");
  plan.rootfs.propagation = vessel::Propagation::rslave;
  plan.namespaces.own[static_cast<size_t>(vessel::NamespaceKind::pid)] = 1;
  plan.namespaces.own[static_cast<size_t>(vessel::NamespaceKind::ipc)] = 1;
}

Container::~Container() {
  std::error_code ignored;
  std::filesystem::remove_all(base, ignored);
}

void Container::directory(const std::string& path, mode_t mode) const {
  std::filesystem::create_directories(at(path));
  chmod(at(path).c_str(), mode);
}
void Container::file(const std::string& path, const std::string& content) const {
  std::ofstream(at(path)) << content;
}
void Container::link(const std::string& target, const std::string& path) const {
  std::filesystem::create_symlink(target, at(path));
}
void Container::hard_link(const std::string& existing, const std::string& path) const {
  std::filesystem::create_hard_link(at(existing), at(path));
}
void Container::owner(const std::string& path, uid_t uid, gid_t gid) const {
  if (chown(at(path).c_str(), uid, gid) < 0) throw vessel::SysError("chown " + path);
}
bool Container::exists(const std::string& path) const {
  struct stat status {};
  return lstat(at(path).c_str(), &status) == 0;
}

vessel::MountStep& Container::mount(const std::string& destination, vessel::FilesystemMount what) {
  vessel::MountStep step;
  step.index = plan.rootfs.mounts.size();
  step.destination = destination;
  step.no_symlink_at_target = what.fs_type == "proc" || what.fs_type == "sysfs";
  step.what = std::move(what);
  plan.rootfs.mounts.push_back(std::move(step));
  return plan.rootfs.mounts.back();
}

vessel::MountStep& Container::bind(const std::string& source, const std::string& destination,
                                   bool recursive) {
  vessel::MountStep step;
  step.index = plan.rootfs.mounts.size();
  step.destination = destination;
  step.what = vessel::BindMount{source, recursive};
  plan.rootfs.mounts.push_back(std::move(step));
  return plan.rootfs.mounts.back();
}

void Container::usual() {
  mount("/proc", {.fs_type = "proc", .source = "proc"});
  mount("/dev",
        {.fs_type = "tmpfs", .source = "tmpfs", .options = {{"mode", "755"}, {"size", "65536k"}}})
      .attributes.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME;
  mount("/dev/pts",
        {.fs_type = "devpts",
         .source = "devpts",
         .options = {{"newinstance", {}}, {"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}}})
      .attributes.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  const std::pair<const char*, uint32_t> devices[] = {{"/dev/null", 3},
                                                      {"/dev/zero", 5},
                                                      {"/dev/full", 7},
                                                      {"/dev/random", 8},
                                                      {"/dev/urandom", 9}};
  for (const auto& [path, minor] : devices) {
    vessel::DeviceStep step;
    step.path = path;
    step.major = 1;
    step.minor = minor;
    plan.rootfs.devices.push_back(step);
  }
  plan.rootfs.symlinks = {{"/dev/fd", "/proc/self/fd"}, {"/dev/ptmx", "pts/ptmx"}};
}

Verdict Container::run(const std::function<Verdict()>& check) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) < 0) return "pipe";
  const pid_t child = fork();
  if (child == 0) {
    const Verdict verdict = set_up_and_check(*this, check);
    if (write(pipe_ends[1], verdict.data(), verdict.size()) < 0) _exit(3);
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string verdict;
  char buffer[4096];
  for (ssize_t got; (got = read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    verdict.append(buffer, static_cast<size_t>(got));
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) verdict += " [status " + std::to_string(status) + "]";
  return verdict;
}

std::string options_of(const std::string& path) {
  struct statvfs fs {};
  if (statvfs(path.c_str(), &fs) < 0) return std::strerror(errno);
  std::string options = fs.f_flag & ST_RDONLY ? "ro" : "rw";
  if (fs.f_flag & ST_NOSUID) options += ",nosuid";
  if (fs.f_flag & ST_NODEV) options += ",nodev";
  if (fs.f_flag & ST_NOEXEC) options += ",noexec";
  if (fs.f_flag & ST_NOATIME) options += ",noatime";
  if (!(fs.f_flag & (ST_NOATIME | ST_RELATIME))) options += ",strictatime";
  return options;
}

long filesystem_of(const std::string& path) {
  struct statfs fs {};
  return statfs(path.c_str(), &fs) < 0 ? -1 : static_cast<long>(fs.f_type);
}

std::string mountinfo_of(const std::string& path) {
  std::istringstream lines(read_text("/proc/self/mountinfo"));
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point;
    fields >> id >> parent >> device >> root >> point;
    if (point == path) found = line;
  }
  return found;
}

int mountinfo_lines() {
  std::istringstream lines(read_text("/proc/self/mountinfo"));
  int count = 0;
  for (std::string line; std::getline(lines, line);) ++count;
  return count;
}

std::string read_text(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

std::string write_text(const std::string& path) {
  const vessel::Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  return fd ? "" : std::strerror(errno);
}

void refuse_call(long number, int error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter{4, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
    throw vessel::SysError("install a filter");
}

}  // namespace rootfs_test
