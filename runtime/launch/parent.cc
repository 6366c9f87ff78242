#include "runtime/launch/parent.hh"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>

#include "runtime/container/exec_fifo.hh"
#include "runtime/launch/id_maps.hh"
#include "runtime/launch/limits.hh"
#include "runtime/launch/namespaces.hh"
#include "runtime/launch/user_program.hh"
#include "runtime/rootfs/sources.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/process.hh"

namespace vessel {

namespace {

std::string death_text(int status) {
  if (WIFSIGNALED(status))
    return "the container's process was killed by signal " + std::to_string(WTERMSIG(status)) +
           " during set-up";
  return "the container's process exited with status " + std::to_string(WEXITSTATUS(status)) +
         " during set-up";
}

// Clones into the v2 cgroup where that works; `enter_v2` says that the child has to do it itself.
std::optional<Clone> clone_into(uint64_t flags, const CgroupEntry& entry, bool& enter_v2) {
  enter_v2 = false;
  auto child = try_clone({flags, entry.clone_fd(), true});
  if (child || entry.clone_fd() < 0) return child;
  // A kernel or a filter without CLONE_INTO_CGROUP; a refusal of the cgroup itself comes again
  // when the child enters.
  if (errno != ENOSYS && errno != EPERM && errno != EINVAL && errno != EACCES) return child;
  enter_v2 = true;
  return try_clone({flags, -1, true});
}

struct NewInit {
  pid_t pid;
  Fd pidfd;
};

// Receives init from a helper and waits for the helper's end.
NewInit served_by_helper(Clone helper, int socket,
                         const std::function<void(pid_t helper)>& map_user) {
  Launched guard(helper.pid, std::move(helper.pidfd), Fd());
  for (;;) {
    Question q = next_question(socket);
    if (q.end) guard.throw_died();
    switch (q.ask) {
      case Ask::user_maps:
        try {
          map_user(guard.pid());
        } catch (const std::exception& e) {
          answer_refused(socket, 0, e.what());
          throw;
        }
        answer_done(socket);
        break;
      case Ask::cloned: {
        if (q.fds.size() != 1) throw Error("the helper's message lacks a descriptor");
        NewInit init{q.number, std::move(q.fds[0])};
        guard.let_go();
        reap(guard.pid());
        return init;
      }
      case Ask::failed:
        throw Error(q.text);
      default:
        throw Error("the helper asked for what is not its business");
    }
  }
}

// In the helper: everything that has to happen before init exists, then init as its sibling.
[[noreturn]] void run_helper(Asker parent, const std::function<void(Asker&)>& prepare,
                             uint64_t flags, const std::function<void()>& body) noexcept {
  try {
    die_with_parent();
    if (::prctl(PR_SET_DUMPABLE, ::geteuid() == 0 ? 0 : 1) < 0) throw SysError("PR_SET_DUMPABLE");
    prepare(parent);
    Clone init = clone_process({flags | CLONE_PARENT, -1, true});
    if (init.pid == 0) {
      parent = Asker(Fd());
      body();
      ::_exit(1);
    }
    parent.tell(Ask::cloned, init.pid, {}, {init.pidfd.get()});
    ::_exit(0);
  } catch (const SysError& e) {
    parent.tell_failed(e.code(), e.what());
  } catch (const std::exception& e) {
    parent.tell_failed(0, e.what());
  }
  ::_exit(1);
}

}  // namespace

ChildDied::ChildDied(int wait_status) : Error(death_text(wait_status)) {}

Launched::~Launched() {
  if (pid_ <= 0 || kept_) return;
  try {
    send_signal(pidfd_, SIGKILL);
    reap(pid_);
  } catch (const std::exception&) {
    // Reaped by somebody else already.
  }
}

void Launched::throw_died() {
  kept_ = true;
  // It closed its socket: it is dead, or it did something unforeseen and must not go on.
  if (!wait_gone(pidfd_, 1000)) send_signal(pidfd_, SIGKILL);
  throw ChildDied(reap(pid_));
}

Launched launch_init(const Plan& plan, const CgroupEntry& entry, const ChildBody& body) {
  const NamespacePlan& namespaces = plan.namespaces;
  auto [ours, theirs] = make_socket_pair();
  bool enter_v2 = false;
  if (!namespaces.needs_helper) {
    auto init = clone_into(namespaces.clone_flags, entry, enter_v2);
    if (!init && errno == EPERM && !(namespaces.clone_flags & CLONE_NEWUSER))
      throw Error("clone3 with the container's namespaces: " + error_text(EPERM) +
                  ": without CAP_SYS_ADMIN the container needs a user namespace too "
                  "(linux.namespaces, with uidMappings and gidMappings)");
    if (!init) throw SysError("clone3 with the container's namespaces");
    if (init->pid == 0) {
      ours.reset();
      body(Asker(std::move(theirs)), enter_v2, false);
      ::_exit(1);
    }
    return Launched(init->pid, std::move(init->pidfd), std::move(ours));
  }

  // The offsets of a time namespace are written by one who has the rights over it: so where a user
  // namespace is made too, the helper is in it already.
  bool user_first = namespaces.time_by_helper && namespaces.new_user;
  uint64_t flags = namespaces.clone_flags;
  if (user_first) flags &= ~static_cast<uint64_t>(CLONE_NEWUSER);
  auto [helper_ours, helper_theirs] = make_socket_pair();
  auto helper = clone_into(0, entry, enter_v2);
  if (!helper) throw SysError("clone3 for joining namespaces");
  if (helper->pid == 0) {
    helper_ours.reset();
    ours.reset();
    run_helper(
        Asker(std::move(helper_theirs)),
        [&](Asker& parent) {
          join_namespaces(namespaces);
          if (user_first) {
            if (::unshare(CLONE_NEWUSER) < 0) throw SysError("unshare user namespace");
            parent.ask(Ask::user_maps);
            become_namespace_root(namespaces);
          }
          if (namespaces.time_by_helper) make_time_namespace(namespaces);
        },
        flags, [&] { body(Asker(std::move(theirs)), enter_v2, user_first); });
  }
  helper_theirs.reset();
  NewInit init = served_by_helper(std::move(*helper), helper_ours.get(), [&](pid_t pid) {
    write_id_maps(pid, namespaces);
    if (plan.process.oom_score_adj) set_oom_score(pid, *plan.process.oom_score_adj, plan.rootless);
  });
  return Launched(init.pid, std::move(init.pidfd), std::move(ours));
}

Launched launch_joiner(const ExecLaunch& launch, CgroupEntry& entry, const CgroupFallback& fallback,
                       const JoinBody& body) {
  auto [ours, theirs] = make_socket_pair();
  bool enter_v2 = false;
  uint64_t left = launch.namespaces;
  if (!launch.by_helper && (left & CLONE_NEWPID)) {
    // For our children to come; the caller itself stays where it is. So one clone is enough.
    enter_container(launch.init_pidfd, CLONE_NEWPID);
    left &= ~static_cast<uint64_t>(CLONE_NEWPID);
  }
  auto child = clone_into(0, entry, enter_v2);
  if (!child && takes_no_process(errno)) {
    int error = errno;
    auto other = fallback();
    if (!other) throw SysError("clone3 into the container's cgroup", error);
    entry = std::move(*other);
    child = clone_into(0, entry, enter_v2);
  }
  if (!child) throw SysError("clone3 for the container");
  if (child->pid != 0 && !launch.by_helper)
    return Launched(child->pid, std::move(child->pidfd), std::move(ours));
  if (child->pid == 0 && !launch.by_helper) {
    ours.reset();
    body(Asker(std::move(theirs)), entry, enter_v2, left);
    ::_exit(1);
  }
  // Rootless: the rights over the other namespaces come with the user namespace, and the pid
  // namespace takes effect one fork later. The first child becomes the helper.
  if (child->pid == 0) {
    ours.reset();
    int socket = theirs.get();
    Asker parent(Fd(::fcntl(socket, F_DUPFD_CLOEXEC, 3)));
    run_helper(
        std::move(parent),
        [&](Asker&) {
          if (std::exchange(enter_v2, false)) {
            // The process inherits it. From within the namespaces no cgroup could be found.
            enter_cgroup(entry, true, fallback);
            entry = CgroupEntry();
          }
          enter_container(launch.init_pidfd, left);
        },
        0, [&] { body(Asker(std::move(theirs)), entry, enter_v2, 0); });
  }
  theirs.reset();
  NewInit process = served_by_helper(std::move(*child), ours.get(), [](pid_t) {});
  return Launched(process.pid, std::move(process.pidfd), std::move(ours));
}

namespace {

Fd open_for(const Question& question, const Plan& plan) {
  const RootfsPlan& rootfs = plan.rootfs;
  size_t index = static_cast<size_t>(question.number);
  // An idmap without mappings of its own is that of the container's user namespace.
  auto idmap_of = [&](const MountStep& step) {
    MountIdmap idmap = step.idmap.value();
    if (idmap.uid.empty() && idmap.gid.empty()) {
      idmap.uid = plan.namespaces.uid_mappings;
      idmap.gid = plan.namespaces.gid_mappings;
    }
    return make_idmap_namespace(idmap);
  };
  switch (question.ask) {
    case Ask::root:
      return open_root_tree(rootfs);
    case Ask::source: {
      const MountStep& step = rootfs.mounts.at(index);
      Fd tree = open_bind_source(std::get<BindMount>(step.what));
      if (step.idmap) apply_idmap(tree.get(), idmap_of(step).get(), step.idmap->recursive);
      return tree;
    }
    case Ask::idmap:
      return idmap_of(rootfs.mounts.at(index));
    case Ask::device:
      return open_device_source(rootfs.devices.at(index));
    default:
      throw Error("the container's process asked for what nobody knows");
  }
}

}  // namespace

int serve(Launched& launched, const Plan* plan, const ProcessPlan& process, bool rootless,
          const Moments& moments) {
  const int socket = launched.socket();
  // A process that joins a container has no plan to ask about.
  const auto planned = [plan]() -> const Plan& {
    if (!plan) throw Error("the joining process asked for what only a new container needs");
    return *plan;
  };
  if (moments.cloned) moments.cloned(launched);
  bool busy = true;
  for (;;) {
    Question q;
    // A settling child waits for its answer first; any other is at its mounts now.
    if (busy && !(plan && plan->namespaces.new_user)) {
      busy = false;
      if (moments.meanwhile) moments.meanwhile(launched);
    }
    q = next_question(socket);
    if (q.end) launched.throw_died();
    if (q.ask == Ask::failed) throw Error("unable to start container process: " + q.text);
    if (q.ask == Ask::loaded) return q.number;
    try {
      switch (q.ask) {
        case Ask::settle:
          write_id_maps(launched.pid(), planned().namespaces);
          if (process.oom_score_adj)
            set_oom_score(launched.pid(), *process.oom_score_adj, rootless);
          answer_done(socket);
          break;
        case Ask::console:
          if (q.fds.size() != 1) throw Error("the terminal did not arrive");
          moments.console(std::move(q.fds[0]));
          answer_done(socket);
          break;
        case Ask::before_switch:
          if (moments.before_switch) moments.before_switch(launched);
          answer_done(socket);
          break;
        case Ask::ready: {
          std::string program = moments.ready(launched);
          const bool rlimits_set = apply_limits(launched.pid(), process);
          if (plan && plan->namespaces.joined_user && process.oom_score_adj)
            set_oom_score(launched.pid(), *process.oom_score_adj, rootless);
          answer_done(socket, program, {}, rlimits_set);
          break;
        }
        default: {
          Fd fd = open_for(q, planned());
          answer_done(socket, {}, {fd.get()});
        }
      }
    } catch (const SysError& e) {
      answer_refused(socket, e.code(), e.what());
      throw;
    } catch (const std::exception& e) {
      answer_refused(socket, 0, e.what());
      throw;
    }
    if (busy) {
      busy = false;
      if (moments.meanwhile) moments.meanwhile(launched);
    }
  }
}

void wait_for_execve(Launched& launched, const Fd& gate) {
  constexpr const char* prefix = "unable to start container process: ";
  if (gate) {
    const std::string failure = wait_for_exec(gate, launched.pidfd());
    if (failure.empty()) return;
    throw Error(prefix + failure);
  }
  Question q = next_question(launched.socket());
  if (q.end) return;
  if (q.ask == Ask::failed) throw Error(prefix + q.text);
  throw Error("an unexpected message instead of the program's start");
}

}  // namespace vessel
