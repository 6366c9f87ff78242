// Owns: the parent's side of a launch: the clone (with a helper where the plan needs one) and
// answering until the new process is ready to go. Does not own: what happens around it, such as
// states, hooks and cgroups (operations/).
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "runtime/cgroup/cgroup.hh"
#include "runtime/launch/joiner.hh"
#include "runtime/launch/protocol.hh"
#include "runtime/plan/plan.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

// The process died before it was ready, without a word.
class ChildDied : public Error {
 public:
  explicit ChildDied(int wait_status);
};

// A process on its way. Destroyed before `let_go`: it is killed and reaped.
class Launched {
 public:
  Launched(pid_t pid, Fd pidfd, Fd socket)
      : pid_(pid), pidfd_(std::move(pidfd)), socket_(std::move(socket)) {}
  Launched(Launched&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)),
        pidfd_(std::move(other.pidfd_)),
        socket_(std::move(other.socket_)) {}
  Launched& operator=(Launched&&) = delete;
  ~Launched();

  pid_t pid() const { return pid_; }
  const Fd& pidfd() const { return pidfd_; }
  int socket() const { return socket_.get(); }
  // It stays alive from now on; its pidfd remains here.
  void let_go() { kept_ = true; }
  // For one that has exited: reaps it and throws ChildDied.
  [[noreturn]] void throw_died();

 private:
  pid_t pid_;
  Fd pidfd_, socket_;
  bool kept_ = false;
};

// What the caller does at the moments of the protocol; each may throw, which ends the launch.
struct Moments {
  std::function<void(const Launched&)> cloned;     // before anything is served
  std::function<void(const Launched&)> meanwhile;  // the child is busy with its mounts
  std::function<void(Fd master)> console;
  std::function<void(const Launched&)> before_switch;
  // Limits are applied after it. Gives the bytes of the seccomp program.
  std::function<std::string(const Launched&)> ready;
};

using ChildBody = std::function<void(Asker, bool enter_v2, bool user_is_settled)>;

// Makes init as plan.namespaces says: one clone3, or a helper that joins and clones it as a child
// of ours. `body` runs in the child and does not return.
Launched launch_init(const Plan& plan, const CgroupEntry& entry, const ChildBody& body);

// Makes exec's process. `entry` when it cannot be cloned into its v2 cgroup is asked of `fallback`.
// `context_of` gives the joiner its context for the entry that was used and the namespaces left.
struct ExecLaunch {
  int init_pidfd;
  uint64_t namespaces;
  bool by_helper;  // rootless
};
using JoinBody = std::function<void(Asker, const CgroupEntry&, bool enter_v2, uint64_t namespaces)>;
Launched launch_joiner(const ExecLaunch& launch, CgroupEntry& entry, const CgroupFallback& fallback,
                       const JoinBody& body);

// Serves until `loaded`; gives the number of the notify descriptor in the child, or -1. Throws the
// child's failure as an Error with its text, or ChildDied.
int serve(Launched& launched, const Plan* plan, const ProcessPlan& process, bool rootless,
          const Moments& moments);

// After `loaded`: waits until execve happened. Throws the child's failure. `gate`: the end that was
// opened, where the child waited at one, for there it tells what fails behind it; or empty.
void wait_for_execve(Launched& launched, const Fd& gate);

}  // namespace vessel
