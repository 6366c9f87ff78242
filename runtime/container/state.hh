// Owns: what is kept of a container between commands: its directory below the state root, the
// state file, the lock. Does not own: deciding the status from it (status.hh), processes, cgroups.
//
// ROOT/ID/state.json   replaced atomically: readers need no lock and see the old or the new one
// ROOT/ID/config.json  the config as it was at create, for exec, update and the late hooks
// ROOT/ID/exec.fifo    only while created (exec_fifo.hh)
// The lock is flock(2) on the directory itself. It is held around a change of status, never while
// something is awaited. A directory that was removed under a holder is noticed by its link count.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/cgroup/cgroup.hh"
#include "runtime/cgroup/resctrl.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

enum class Phase : uint8_t { creating, created, running };  // `created` until the fifo is gone

struct StateRecord {
  std::string id, bundle, rootfs;
  std::string created;  // RFC 3339 with nanoseconds
  std::map<std::string, std::string> annotations;
  Phase phase = Phase::creating;
  uid_t owner = 0;
  // Init. The pid may have gone to another process: start time and boot id say whether.
  pid_t pid = 0;
  uint64_t start_time = 0;  // clock ticks after boot
  std::string boot_id;
  pid_t creator = 0;           // the vessel that is creating it
  uint64_t pid_namespace = 0;  // inode of the one in which these pids count
  CgroupRecord cgroup;
  // Only while a cgroup with a relative path is being made: where its creator is. The cgroup is not
  // on record yet then, and no other process can tell where the path begins.
  ProcessCgroups creator_cgroups;
  std::optional<ResctrlRecord> resctrl;
  uint64_t private_namespaces = 0;  // CLONE_NEW* of those that are not the creator's
  bool rootless = false;
  bool no_new_keyring = false;  // --no-new-keyring: exec stays in its caller's too
  bool has_process = true;      // else `start` is an error
  // Which late hooks config.json has, so that it is read only when there are any.
  bool has_poststart = false, has_poststop = false;
};

std::string write_state(const StateRecord& record);
StateRecord read_state_record(std::string_view json, std::string_view file);  // throws FormatError

// The caller's pid namespace, as StateRecord::pid_namespace.
uint64_t own_pid_namespace();

// This boot, from /proc/sys/kernel/random/boot_id.
const std::string& boot_id();

class StateDir {
 public:
  // Makes ROOT/ID, which claims the id: "container with given ID already exists" otherwise. The
  // root is made too (0700). Throws Error, SysError.
  static StateDir create(const std::string& root, const std::string& id);
  // Throws Error "container does not exist".
  static StateDir open(const std::string& root, const std::string& id);
  static std::optional<StateDir> try_open(const std::string& root, const std::string& id);

  // nullopt while the creator has not written it yet (or died before).
  std::optional<StateRecord> try_read() const;
  void write(const StateRecord& record) const;  // throws Error when the container was deleted
  std::string read_config() const;
  void write_config(std::string_view json) const;
  // Removes the directory and what is in it. Gone already is no error.
  void remove();

  // Held until destruction. `still_there` is false when the directory was removed meanwhile.
  class Lock {
   public:
    explicit Lock(const StateDir& dir);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    bool still_there() const;

   private:
    int fd_;
  };

  int fd() const { return dir_.get(); }
  const std::string& id() const { return id_; }
  const std::string& path() const { return path_; }

 private:
  StateDir(std::string root, std::string id, Fd dir);
  std::string root_, id_, path_;
  Fd dir_;
};

// The ids below `root` in order; empty when there is no root.
std::vector<std::string> list_ids(const std::string& root);

}  // namespace vessel
