#include "runtime/launch/namespaces.hh"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

namespace vessel {

uint64_t clone_flag_of(NamespaceKind kind) {
  switch (kind) {
    case NamespaceKind::user:
      return CLONE_NEWUSER;
    case NamespaceKind::mount:
      return CLONE_NEWNS;
    case NamespaceKind::pid:
      return CLONE_NEWPID;
    case NamespaceKind::network:
      return CLONE_NEWNET;
    case NamespaceKind::ipc:
      return CLONE_NEWIPC;
    case NamespaceKind::uts:
      return CLONE_NEWUTS;
    case NamespaceKind::cgroup:
      return CLONE_NEWCGROUP;
    case NamespaceKind::time:
      break;
  }
  return CLONE_NEWTIME;
}

const char* name_of(NamespaceKind kind) {
  switch (kind) {
    case NamespaceKind::user:
      return "user";
    case NamespaceKind::mount:
      return "mount";
    case NamespaceKind::pid:
      return "pid";
    case NamespaceKind::network:
      return "network";
    case NamespaceKind::ipc:
      return "ipc";
    case NamespaceKind::uts:
      return "uts";
    case NamespaceKind::cgroup:
      return "cgroup";
    case NamespaceKind::time:
      break;
  }
  return "time";
}

void join_namespaces(const NamespacePlan& plan) {
  std::vector<Fd> opened;
  for (const NamespaceJoin& join : plan.join) {
    Fd fd = try_open_file(AT_FDCWD, join.path, O_RDONLY);
    if (!fd)
      throw SysError(std::string("join ") + name_of(join.kind) + " namespace: open " + join.path);
    opened.push_back(std::move(fd));
  }
  for (size_t i = 0; i < opened.size(); ++i) {
    const NamespaceJoin& join = plan.join[i];
    // The kind is given so that a path to another kind of namespace is refused.
    if (::setns(opened[i].get(), static_cast<int>(clone_flag_of(join.kind))) < 0)
      throw SysError(std::string("join ") + name_of(join.kind) + " namespace " + join.path);
  }
}

void make_time_namespace(const NamespacePlan& plan) {
  if (::unshare(CLONE_NEWTIME) < 0) throw SysError("unshare time namespace");
  std::string text;
  for (const auto& [clock, offset] : plan.time_offsets)
    text +=
        clock + " " + std::to_string(offset.secs) + " " + std::to_string(offset.nanosecs) + "\n";
  if (text.empty()) return;
  // In a user namespace of its own the file of a process that is not dumpable is nobody's. No other
  // process can see this helper yet.
  int dumpable = ::prctl(PR_GET_DUMPABLE);
  ::prctl(PR_SET_DUMPABLE, 1);
  write_existing(AT_FDCWD, "/proc/self/timens_offsets", text);
  ::prctl(PR_SET_DUMPABLE, dumpable);
}

void raise_loopback() {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) throw SysError("socket for lo");
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) throw SysError("bring lo up");
}

}  // namespace vessel
