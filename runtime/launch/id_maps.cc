#include "runtime/launch/id_maps.hh"

#include <fcntl.h>
#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/spawn.hh"

namespace vessel {

namespace {

std::string map_text(const std::vector<oci::IdMapping>& mappings) {
  std::string text;
  for (const oci::IdMapping& m : mappings)
    text += std::to_string(m.container_id) + " " + std::to_string(m.host_id) + " " +
            std::to_string(m.size) + "\n";
  return text;
}

void map_by_tool(const char* tool, pid_t pid, const std::vector<oci::IdMapping>& mappings) {
  ProgramCall call;
  // The setuid tools of shadow; podman calls runtimes without PATH.
  for (const char* dir : {"/usr/bin/", "/usr/sbin/", "/bin/", "/usr/local/bin/"}) {
    call.path = std::string(dir) + tool;
    if (::access(call.path.c_str(), X_OK) == 0) break;
    call.path.clear();
  }
  if (call.path.empty())
    throw Error(std::string(tool) +
                " is needed to map more than one's own id and was not found; it is in package "
                "uidmap");
  call.args = {tool, std::to_string(pid)};
  for (const oci::IdMapping& m : mappings)
    for (uint32_t n : {m.container_id, m.host_id, m.size}) call.args.push_back(std::to_string(n));
  ProgramResult result = run_program(call);
  if (result.wait_status != 0) throw Error(std::string(tool) + ": " + describe(result));
}

}  // namespace

void write_id_maps(pid_t pid, const NamespacePlan& plan) {
  Fd proc = open_file(AT_FDCWD, "/proc/" + std::to_string(pid), O_PATH | O_DIRECTORY);
  if (plan.deny_setgroups) write_existing(proc.get(), "setgroups", "deny");
  if (plan.mappings_by_tool) {
    map_by_tool("newuidmap", pid, plan.uid_mappings);
    map_by_tool("newgidmap", pid, plan.gid_mappings);
    return;
  }
  if (!plan.uid_mappings.empty())
    write_existing(proc.get(), "uid_map", map_text(plan.uid_mappings));
  if (!plan.gid_mappings.empty())
    write_existing(proc.get(), "gid_map", map_text(plan.gid_mappings));
}

void become_namespace_root(const NamespacePlan& plan) {
  auto lacks_root = [&](const std::vector<oci::IdMapping>& mappings) {
    return plan.new_user &&
           std::ranges::none_of(mappings, [](const auto& m) { return m.container_id == 0; });
  };
  // The mappings of a joined namespace are not known: EINVAL says that 0 is not among them.
  // Supplementary groups of the caller stay until the user switch, where the plan says what they
  // become.
  if (!lacks_root(plan.gid_mappings) && ::setresgid(0, 0, 0) < 0 && errno != EINVAL)
    throw SysError("setresgid 0");
  if (!lacks_root(plan.uid_mappings) && ::setresuid(0, 0, 0) < 0 && errno != EINVAL)
    throw SysError("setresuid 0");
}

}  // namespace vessel
