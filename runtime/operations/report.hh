// Owns: the verbs that only tell: state, list, ps, events. Does not own: changing anything.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vessel {

// What goes to stdout, with the newline at the end.
std::string state_text(const std::string& root, const std::string& id);

enum class ListFormat : uint8_t { table, json, quiet };
std::string list_text(const std::string& root, ListFormat format);

// JSON: the pids. Table: the lines of ps(1) with `options` (default "-ef") whose PID is one of the
// container's.
std::string ps_json(const std::string& root, const std::string& id);
std::string ps_table(const std::string& root, const std::string& id,
                     const std::vector<std::string>& options);
// The lines of `output` (ps's) for `pids`, with the heading. Throws Error without a PID column.
std::string filter_ps(const std::string& output, const std::vector<pid_t>& pids);

// "3s", "5m", "2h", "4d" from an RFC 3339 time in UTC to `now` (seconds since the epoch); "" when
// it is none.
std::string age_text(const std::string& since, int64_t now);

// Columns as Go's tabwriter lays them out for runc: at least 12 wide, 3 blanks between.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

// `stats_once`: one line and the end. Otherwise a line each interval, and one for each event of
// memory running out, until the container is gone; written to stdout as they come.
void events(const std::string& root, const std::string& id, bool stats_once, int64_t interval_ms);

}  // namespace vessel
