// Owns: the verbs that act on an existing container: start, kill, delete, pause, resume, update.
// Does not own: making one (create.hh), running a process in one (exec.hh), printing (report.hh).
#pragma once

#include <string>
#include <vector>

#include "oci-spec/runtime_config.hh"
#include "runtime/operations/create.hh"

namespace vessel {

// runtime.md "Start". Returns once execve happened; its failure, and that of a poststart hook, is
// an error: then the container is stopped and, for the hook, destroyed.
void start_container(const std::string& root, const std::string& id);

// For run: init goes on by itself; waits for its execve and runs the poststart hooks.
void finish_start(Created& created);

// `signal` as for parse_signal. `all`: every process of the container.
void kill_container(const std::string& root, const std::string& id, int signal, bool all);
// "KILL", "SIGKILL", "9", "RTMIN+3", any case. Throws Error "unknown signal".
int parse_signal(const std::string& text);

void delete_container(const std::string& root, const std::string& id, bool force);

void pause_container(const std::string& root, const std::string& id);
void resume_container(const std::string& root, const std::string& id);

// `schemata`: lines for the resctrl group of a container that has linux.intelRdt.
void update_container(const std::string& root, const std::string& id,
                      const oci::Resources& resources,
                      const std::vector<std::string>& schemata = {});

}  // namespace vessel
