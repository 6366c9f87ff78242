#include "builder/store/trash_removal.hh"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <system_error>

#include "builder/layer/tree.hh"
#include "builder/snapshot/snapshotter.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"

namespace kiln {

namespace {

// ioprio_set(2). The kernel's header is no C++.
constexpr int this_thread = 1;            // IOPRIO_WHO_PROCESS
constexpr int idle_disk_class = 3 << 13;  // IOPRIO_CLASS_IDLE

}  // namespace

TrashRemoval::TrashRemoval(const Store& store) {
  using Kind = Snapshotter::Kind;
  for (const std::string& parent :
       {std::string("."), snapshots_directory(Kind::overlay), snapshots_directory(Kind::copy)}) {
    Fd directory(openat(store.records(), (parent + "/trash").c_str(),
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory) continue;
    std::vector<std::string> names = list_directory(directory.get());
    if (!names.empty()) trash_.push_back({std::move(directory), std::move(names)});
  }
  if (trash_.empty()) return;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { remove(); });
  } catch (const std::system_error&) {
    trash_.clear();  // it can wait
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TrashRemoval::~TrashRemoval() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void TrashRemoval::remove() noexcept {
  // Of this thread only. Not SCHED_IDLE: on a busy machine it would stand still with the lock of
  // the directory that the build renames into.
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19);
  syscall(SYS_ioprio_set, this_thread, 0, idle_disk_class);
  for (const Trash& trash : trash_)
    for (const std::string& name : trash.names) try {
        if (!remove_tree_at(trash.directory.get(), name, stop_)) return;
      } catch (const std::exception&) {
        continue;  // prune says what cannot be removed
      }
}

}  // namespace kiln
