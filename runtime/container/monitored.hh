// Owns: what is kept of a container that a monitor looks after (run --detach --log-output): how it
// was run, who the monitor is, and how the container's process ended.
// Does not own: being the monitor (operations/monitor.hh), or the state file.
//
// ROOT/ID/monitor.json  written when the container has been created
// ROOT/ID/exit.json     made empty at the same time, filled when the process has ended
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/container/state.hh"
#include "runtime/sys/fd.hh"

namespace vessel {

inline constexpr const char* monitor_file_name = "monitor.json";

// Of state documents: a poststop hook tells by it the end of one run, after which the bundle is
// used again, from the end of the container.
inline constexpr const char* restart_annotation = "run.vessel.restarting";

// The options of `run` that running it again needs.
struct Monitored {
  std::string bundle;
  std::string log;           // absolute
  bool log_is_auto = false;  // chosen by vessel, and removed with the container
  uint64_t log_size = 0;     // bytes, after which the log is rotated
  bool remove = false;       // deleted by the monitor when it has ended
  bool systemd_cgroup = false, no_pivot = false, no_new_keyring = false;
  std::optional<bool> rootless;
  pid_t monitor = 0;
  uint64_t monitor_start = 0;  // clock ticks after boot
};

struct ExitRecord {
  int code = 0;          // as a shell gives it
  std::string finished;  // RFC 3339
};

void write_monitored(const StateDir& dir, const Monitored& record);
// nullopt when the container has no monitor, nor ever had.
std::optional<Monitored> try_read_monitored(const StateDir& dir);

// The monitor's pidfd; empty when it is gone.
Fd open_monitor(const Monitored& record);

// The file for the exit record, open; it stays readable when the container is deleted meanwhile.
Fd make_exit_file(const StateDir& dir);
Fd try_open_exit_file(const StateDir& dir);
void write_exit_record(const Fd& file, const ExitRecord& record);
// nullopt until it is written.
std::optional<ExitRecord> try_read_exit_record(const Fd& file);

}  // namespace vessel
