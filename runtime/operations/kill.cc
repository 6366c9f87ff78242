#include <strings.h>

#include <csignal>
#include <cstring>

#include "runtime/container/status.hh"
#include "runtime/operations/lifecycle.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/number.hh"
#include "runtime/sys/process.hh"

#include <sched.h>

namespace vessel {

namespace {

// In the plain case no cgroup is looked at.
bool has_own_pid_namespace(const StateRecord& record) {
  return (record.private_namespaces & CLONE_NEWPID) != 0;
}

}  // namespace

int parse_signal(const std::string& text) {
  if (auto number = parse_number<int>(text, 0, SIGRTMAX)) return *number;
  const char* name = text.c_str();
  if (::strncasecmp(name, "SIG", 3) == 0) name += 3;
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known && ::strcasecmp(known, name) == 0) return signal;
  }
  // Real-time signals as kill(1) names them; the kernel's RTMIN is 34 for every program.
  for (auto [prefix, base, sign] : {std::tuple{"RTMIN", 34, 1}, std::tuple{"RTMAX", 64, -1}}) {
    if (::strncasecmp(name, prefix, 5) != 0) continue;
    const char* rest = name + 5;
    if (!*rest) return base;
    if (*rest != (sign > 0 ? '+' : '-')) continue;
    if (auto offset = parse_number<int>(rest + 1, 0, 30)) return base + sign * *offset;
  }
  if (::strcasecmp(name, "IOT") == 0) return SIGABRT;
  if (::strcasecmp(name, "CLD") == 0) return SIGCHLD;
  if (::strcasecmp(name, "POLL") == 0) return SIGPOLL;
  throw Error("unknown signal \"" + text + "\"");
}

void kill_container(const std::string& root, const std::string& id, int signal, bool all) {
  Container c = open_container(root, id, false);
  // Without a pid namespace nothing ends the other processes when init dies.
  bool whole = all || (signal == SIGKILL && !has_own_pid_namespace(c.record));
  if (whole && !c.record.cgroup.empty()) {
    if (!all && !c.init) throw Error("container not running");
    Cgroup::open(c.record.cgroup).kill_all(signal);
    return;
  }
  if (!c.init || !send_signal(c.init, signal)) {
    if (all) return;
    throw Error("container not running");
  }
  // A frozen v1 container takes its SIGKILL when it is thawed.
  if (signal == SIGKILL && !c.record.cgroup.empty()) {
    Cgroup cgroup = Cgroup::open(c.record.cgroup);
    if (cgroup.is_frozen()) cgroup.kill_all(SIGKILL);
  }
}

}  // namespace vessel
