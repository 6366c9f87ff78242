// Owns: the verbs with which a person lives with containers and an orchestrator does not: stop,
// wait, inspect, stats. Does not own: starting again (monitor.hh), logs (logs.hh).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vessel {

// The signal that the annotation org.opencontainers.image.stopSignal names (default TERM), KILL
// when the container has not ended after `seconds`. Returns when it is stopped and its monitor, if
// any, has done its part. A container that is stopped already is no error.
void stop_container(const std::string& root, const std::string& id, int64_t seconds);

// Waits until the container has ended; the exit code. Throws Error when nobody recorded it.
int wait_for_container(const std::string& root, const std::string& id);

// A JSON array of one object for each: state, how it ended, log, monitor, and config.json.
std::string inspect_text(const std::string& root, const std::vector<std::string>& ids);

// A table of what the containers use, of the running ones when `ids` is empty. `once`: one table
// after a second. Otherwise a new one each second, in place when stdout is a terminal, until the
// last one has ended.
void show_stats(const std::string& root, const std::vector<std::string>& ids, bool once);

}  // namespace vessel
