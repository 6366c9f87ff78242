#include "runtime/host/facts.hh"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "runtime/sys/error.hh"
#include "runtime/sys/fd.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/mountinfo.hh"

namespace vessel {

namespace {

// linux/magic.h of Debian 12 lacks it: fs/resctrl
constexpr long rdtgroup_super_magic = 0x7655821;

bool is_filesystem(const char* path, long magic) {
  struct statfs st;
  return statfs(path, &st) == 0 && st.f_type == magic;
}

// The start of a small file, empty when it cannot be read.
std::string small_file(const char* path) {
  const Fd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return {};
  char buffer[512];
  const ssize_t n = read(fd.get(), buffer, sizeof buffer);
  return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : std::string();
}

void probe_kernel(HostFacts& facts) {
  utsname name;
  if (uname(&name) != 0) throw SysError("uname");
  const char* const end = name.release + std::strlen(name.release);
  const auto major = std::from_chars(name.release, end, facts.kernel_major);
  if (major.ec == std::errc() && major.ptr != end)
    std::from_chars(major.ptr + 1, end, facts.kernel_minor);
}

// From the magic numbers alone: mountinfo costs 1.5 ms where thousands of mounts are.
CgroupLayout cgroup_layout() {
  struct statfs st;
  if (statfs("/sys/fs/cgroup", &st) != 0) return CgroupLayout::none;
  if (st.f_type == CGROUP2_SUPER_MAGIC) return CgroupLayout::v2;
  if (st.f_type != TMPFS_MAGIC) return CgroupLayout::none;
  return is_filesystem("/sys/fs/cgroup/unified", CGROUP2_SUPER_MAGIC) ? CgroupLayout::hybrid
                                                                      : CgroupLayout::v1;
}

void probe_capabilities(HostFacts& facts) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, data) != 0) throw SysError("capget");
  const uint64_t permitted = data[0].permitted | uint64_t{data[1].permitted} << 32;
  const uint64_t inheritable = data[0].inheritable | uint64_t{data[1].inheritable} << 32;
  // PR_CAPBSET_READ answers EINVAL behind the last one.
  const auto held = [](uint32_t capability) { return prctl(PR_CAPBSET_READ, capability, 0, 0, 0); };
  while (facts.last_capability > 0 && held(facts.last_capability) < 0) --facts.last_capability;
  while (facts.last_capability < 63 && held(facts.last_capability + 1) >= 0)
    ++facts.last_capability;
  // What execve permitted comes from the bounding set, but for inherited ones (capabilities(7)).
  facts.capability_bounding = permitted;
  for (uint32_t i = 0; i <= facts.last_capability; ++i)
    if ((inheritable >> i & 1) && held(i) <= 0) facts.capability_bounding &= ~(uint64_t{1} << i);
}

}  // namespace

// The initial user namespace has a fixed inode number (linux/proc_ns.h PROC_USER_INIT_INO). One
// with an identity map is another one all the same: its root cannot mknod, nor mount most things.
bool in_user_namespace() {
  struct stat st;
  return stat("/proc/self/ns/user", &st) == 0 && st.st_ino != 0xEFFFFFFD;
}

HostFacts probe_host(const oci::Config* config) {
  HostFacts facts;
  facts.euid = geteuid();
  facts.egid = getegid();
  probe_kernel(facts);
  facts.in_user_namespace = in_user_namespace();
  facts.cgroup_layout = cgroup_layout();
  probe_capabilities(facts);
  const bool all = config == nullptr;
  const oci::Process* const process = !all && config->process ? &*config->process : nullptr;
  const oci::Linux* const linux_ = !all && config->linux_ ? &*config->linux_ : nullptr;
  if (all || (process && !process->selinux_label.empty()) ||
      (linux_ && !linux_->mount_label.empty()))
    facts.selinux = is_filesystem("/sys/fs/selinux", SELINUX_MAGIC);
  if (all || (process && !process->apparmor_profile.empty()))
    facts.apparmor = small_file("/sys/module/apparmor/parameters/enabled").starts_with('Y');
  if (all || (linux_ && linux_->intel_rdt)) facts.resctrl = !find_resctrl(!all).empty();
  if (all || (linux_ && std::any_of(linux_->namespaces.begin(), linux_->namespaces.end(),
                                    [](const oci::Namespace& n) { return n.type == "time"; })))
    facts.time_namespace = access("/proc/self/timens_offsets", F_OK) == 0;
  return facts;
}

std::string find_resctrl(bool anywhere) {
  // The kernel makes this directory when it and the processor have resctrl.
  constexpr const char* usual = "/sys/fs/resctrl";
  if (is_filesystem(usual, rdtgroup_super_magic)) return usual;
  if (!anywhere || access(usual, F_OK) != 0) return {};
  const std::string mounts = read_file("/proc/self/mountinfo");
  for (size_t at = 0; at < mounts.size();) {
    const size_t end = std::min(mounts.find('\n', at), mounts.size());
    const std::string_view line(mounts.data() + at, end - at);
    at = end + 1;
    // "36 35 0:31 / /mnt/resctrl rw … - resctrl resctrl rw"
    if (line.find(" - resctrl ") == line.npos) continue;
    return unescape_mountinfo(mountinfo_fields(line).at(4));
  }
  return {};
}

void probe_cgroup_controllers(HostFacts& facts) {
  facts.cgroup_controllers.clear();
  const auto add_words = [&](const std::string& text) {
    size_t start = 0;
    while ((start = text.find_first_not_of(" \n", start)) != text.npos) {
      const size_t end = std::min(text.find_first_of(" \n", start), text.size());
      facts.cgroup_controllers.emplace_back(text, start, end - start);
      start = end;
    }
  };
  if (facts.cgroup_layout == CgroupLayout::v2)
    return add_words(small_file("/sys/fs/cgroup/cgroup.controllers"));
  if (facts.cgroup_layout == CgroupLayout::hybrid)
    add_words(small_file("/sys/fs/cgroup/unified/cgroup.controllers"));
  if (facts.cgroup_layout == CgroupLayout::none) return;
  for (const char* name : {"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb",
                           "memory", "net_cls", "net_prio", "perf_event", "pids", "rdma", "misc"})
    if (is_filesystem(("/sys/fs/cgroup/" + std::string(name)).c_str(), CGROUP_SUPER_MAGIC))
      facts.cgroup_controllers.emplace_back(name);
}

}  // namespace vessel
