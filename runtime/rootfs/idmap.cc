// A user namespace for the mappings of an id-mapped mount. It needs a process to be made; the
// descriptor of /proc/PID/ns/user then keeps it alive without one.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/rootfs/sources.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/process.hh"
#include "runtime/sys/procfs.hh"

namespace vessel {

namespace {

// A child that waits in a new user namespace until it is destroyed.
class Placeholder {
 public:
  Placeholder() : child_(clone_process({.flags = CLONE_NEWUSER})) {
    if (child_.pid != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  ~Placeholder() {
    kill(child_.pid, SIGKILL);
    waitpid(child_.pid, nullptr, 0);
  }
  Placeholder(const Placeholder&) = delete;
  Placeholder& operator=(const Placeholder&) = delete;
  pid_t pid() const { return child_.pid; }

 private:
  Clone child_;
};

std::string mapping_text(const std::vector<oci::IdMapping>& mappings) {
  std::string text;
  for (const oci::IdMapping& mapping : mappings)
    text += std::to_string(mapping.container_id) + " " + std::to_string(mapping.host_id) + " " +
            std::to_string(mapping.size) + "\n";
  return text;
}

}  // namespace

Fd make_idmap_namespace(const MountIdmap& idmap) {
  const Placeholder child;
  const ProcFs procfs = ProcFs::adopt_host();
  const std::string directory = std::to_string(child.pid());
  procfs.write(directory + "/uid_map", mapping_text(idmap.uid));
  procfs.write(directory + "/gid_map", mapping_text(idmap.gid));
  const Fd process = procfs.open_file(directory, O_PATH | O_DIRECTORY);
  Fd user_namespace(openat(process.get(), "ns/user", O_RDONLY | O_CLOEXEC));
  if (!user_namespace) throw SysError("open the user namespace of a mount's mappings");
  return user_namespace;
}

}  // namespace vessel
