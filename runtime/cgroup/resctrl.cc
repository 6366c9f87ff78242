#include "runtime/cgroup/resctrl.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/cgroup/files.hh"
#include "runtime/host/facts.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

namespace vessel {

namespace {

// "tasks" in the root, "GROUP/tasks" elsewhere.
std::string in_group(const std::string& group, std::string_view file) {
  return (group.empty() ? "" : group + "/") + std::string(file);
}

std::string mon_path(const ResctrlRecord& record) {
  return in_group(record.group, "mon_groups/" + record.mon_group);
}

bool exists(const Fd& root, const std::string& path) {
  struct stat st;
  return ::fstatat(root.get(), path.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

// EINVAL says little: the kernel keeps the reason in a file.
SysError explained(const Fd& root, const std::string& operation, int error) {
  std::string text = operation;
  try {
    const auto status = try_read_file(root.get(), "info/last_cmd_status");
    if (status && trim(*status) != "ok" && !trim(*status).empty())
      text += " (" + std::string(trim(*status)) + ")";
  } catch (const Error&) {
    // It exists since Linux 4.16 only.
  }
  return SysError("resctrl: " + text, error);
}

void write_line(const Fd& root, const std::string& path, const std::string& line) {
  const Fd file = open_file(root.get(), path, O_WRONLY);
  const std::string text = line + "\n";
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw explained(root, "write " + line + " to " + path, errno);
}

void make_directory(const Fd& root, const std::string& path) {
  if (::mkdirat(root.get(), path.c_str(), 0755) != 0) throw explained(root, "mkdir " + path, errno);
}

void remove_directory(const Fd& root, const std::string& path) {
  if (::unlinkat(root.get(), path.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    throw explained(root, "rmdir " + path, errno);
}

uint64_t bandwidth_granularity(const Fd& root) {
  const auto text = try_read_file(root.get(), "info/MB/bandwidth_gran");
  return text ? parse_counter(*text).value_or(0) : 0;
}

void require_match(const Fd& root, const IntelRdtPlan& plan) {
  const std::string path = in_group(plan.group, "schemata");
  const std::string file = read_file(root.get(), path);
  const uint64_t granularity = bandwidth_granularity(root);
  for (const std::string& line : plan.schemata)
    if (!schemata_match(line, file, granularity))
      throw Error("linux.intelRdt: group \"" + (plan.group.empty() ? "/" : plan.group) +
                  "\" exists with other schemata than \"" + line + "\"; it has " +
                  std::string(trim(file)));
}

}  // namespace

Resctrl Resctrl::open() {
  const std::string mount = find_resctrl(true);
  if (mount.empty())
    throw Error("no resctrl file system is mounted (mount -t resctrl resctrl /sys/fs/resctrl)");
  return Resctrl(open_file(AT_FDCWD, mount, O_RDONLY | O_DIRECTORY));
}

ResctrlRecord Resctrl::claim(const IntelRdtPlan& plan) {
  // resctrl.rst "Examples for RDT allocation usage", locking: groups are taken under this lock.
  if (::flock(root_.get(), LOCK_EX) != 0) throw SysError("lock the resctrl file system");
  ResctrlRecord record{plan.group, plan.mon_group, false, plan.named};
  record.made = !plan.group.empty() && !exists(root_, plan.group);
  if (record.made && plan.named && plan.schemata.empty())
    throw Error("linux.intelRdt.closID: there is no resctrl group \"" + plan.group +
                "\", and without schemata it is not made");
  if (!record.made && plan.named) require_match(root_, plan);
  if (!plan.mon_group.empty() && exists(root_, mon_path(record)))
    throw Error("linux.intelRdt.enableMonitoring: the monitoring group " + mon_path(record) +
                " exists already");
  return record;
}

void Resctrl::make(const IntelRdtPlan& plan, const ResctrlRecord& record) {
  if (record.made) make_directory(root_, record.group);
  write_schemata(record, plan.schemata);
  if (!record.mon_group.empty()) {
    if (!exists(root_, in_group(record.group, "mon_groups")))
      throw Error("linux.intelRdt.enableMonitoring: this host's resctrl has no monitoring");
    make_directory(root_, mon_path(record));
  }
  ::flock(root_.get(), LOCK_UN);
}

void Resctrl::enter(const ResctrlRecord& record, pid_t pid) const {
  write_line(root_, in_group(record.group, "tasks"), std::to_string(pid));
  // Only a task of the control group can go into one of its monitoring groups.
  if (!record.mon_group.empty())
    write_line(root_, mon_path(record) + "/tasks", std::to_string(pid));
}

void Resctrl::write_schemata(const ResctrlRecord& record,
                             const std::vector<std::string>& lines) const {
  for (const std::string& line : lines) write_line(root_, in_group(record.group, "schemata"), line);
}

void Resctrl::remove(const ResctrlRecord& record, bool failed) const {
  // rmdir succeeds with tasks inside, which then belong to the root: never a group of others.
  const bool go =
      record.made && !record.group.empty() &&
      (!record.named ||
       (failed &&
        trim(try_read_file(root_.get(), in_group(record.group, "tasks")).value_or("")) == ""));
  if (!record.mon_group.empty()) remove_directory(root_, mon_path(record));
  if (go) remove_directory(root_, record.group);
  if (failed) ::flock(root_.get(), LOCK_UN);
}

}  // namespace vessel
