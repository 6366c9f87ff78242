#include <fcntl.h>
#include <unistd.h>

#include "runtime/cli/inspect.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/fd.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

oci::Mount mount_of(std::string destination, std::string type, std::string source,
                    std::vector<std::string> options) {
  oci::Mount m;
  m.destination = std::move(destination);
  m.type = std::move(type);
  m.source = std::move(source);
  m.options = std::move(options);
  return m;
}

oci::Process example_process() {
  oci::Process p;
  p.terminal = true;
  p.args = {"sh"};
  p.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
  p.cwd = "/";
  p.no_new_privileges = true;
  oci::Capabilities c;
  c.bounding = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  c.permitted = c.effective = c.bounding;
  p.capabilities = std::move(c);
  p.rlimits = {{"RLIMIT_NOFILE", 1024, 1024}};
  return p;
}

std::vector<oci::Mount> example_mounts() {
  return {mount_of("/proc", "proc", "proc", {}),
          mount_of("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
          mount_of("/dev/pts", "devpts", "devpts",
                   {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
          mount_of("/dev/shm", "tmpfs", "shm",
                   {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
          mount_of("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
          mount_of("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
          mount_of("/sys/fs/cgroup", "cgroup", "cgroup",
                   {"nosuid", "noexec", "nodev", "relatime", "ro"})};
}

// Without privileges: a user namespace with one's own ids, the caller's network (nobody could set
// another one up), /sys from the host (a new sysfs needs a network namespace of one's own), no
// ids in mount options and no limits.
void make_rootless(oci::Config& config, const HostFacts& facts) {
  oci::Linux& linux_ = *config.linux_;
  std::erase_if(linux_.namespaces, [](const oci::Namespace& n) { return n.type == "network"; });
  linux_.namespaces.push_back({"user", ""});
  linux_.uid_mappings = {{0, facts.euid, 1}};
  linux_.gid_mappings = {{0, facts.egid, 1}};
  linux_.resources.reset();
  for (oci::Mount& m : config.mounts) {
    if (m.destination == "/sys")
      m = mount_of("/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"});
    std::erase_if(m.options, [](const std::string& o) {
      return o.starts_with("uid=") || o.starts_with("gid=");
    });
  }
}

}  // namespace

oci::Config example_config(const HostFacts& facts, bool rootless) {
  oci::Config config;
  config.version = oci::runtime_spec_version;
  config.process = example_process();
  config.root = oci::Root{"rootfs", true};
  config.hostname = "vessel";
  config.mounts = example_mounts();
  oci::Linux linux_;
  linux_.masked_paths = {"/proc/acpi",        "/proc/asound",        "/proc/kcore",
                         "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
                         "/proc/timer_stats", "/proc/sched_debug",   "/sys/firmware",
                         "/proc/scsi"};
  linux_.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                           "/proc/sysrq-trigger"};
  oci::DeviceRule deny;
  deny.access = "rwm";
  linux_.resources.emplace().devices = {deny};
  for (const char* type : {"pid", "network", "ipc", "uts", "mount"})
    linux_.namespaces.push_back({type, ""});
  if (facts.cgroup_layout == CgroupLayout::v2) linux_.namespaces.push_back({"cgroup", ""});
  config.linux_ = std::move(linux_);
  if (rootless) make_rootless(config, facts);
  return config;
}

void write_example(const std::string& directory, const HostFacts& facts, bool rootless) {
  const Fd dir = open_file(AT_FDCWD, directory.empty() ? "." : directory, O_PATH | O_DIRECTORY);
  // O_EXCL: no window in which somebody else's file could be lost.
  const Fd file(openat(dir.get(), "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file && errno == EEXIST) throw Error("File config.json exists. Remove it first");
  if (!file) throw SysError("open config.json");
  write_all(file.get(), oci::write(example_config(facts, rootless), 4) + "\n", "config.json");
}

}  // namespace vessel
