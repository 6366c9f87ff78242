#include "runtime/operations/report.hh"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>

#include "runtime/container/monitored.hh"
#include "runtime/container/status.hh"
#include "runtime/sys/date.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/number.hh"
#include "runtime/sys/spawn.hh"

namespace vessel {

namespace {

constexpr const char* image_annotation = "org.opencontainers.image.ref.name";
constexpr const char* ports_annotation = "run.vessel.ports";

oci::ExtendedState extended_state(const Container& c) {
  oci::ExtendedState extended;
  extended.state = spec_state(c.record, c.status);
  extended.rootfs = c.record.rootfs;
  extended.created = c.record.created;
  return extended;
}

// The host's own passwd file; no NSS in a static program.
std::string user_name(const std::string& passwd, uid_t uid) {
  size_t begin = 0;
  while (begin < passwd.size()) {
    size_t end = std::min(passwd.find('\n', begin), passwd.size());
    std::string line = passwd.substr(begin, end - begin);
    begin = end + 1;
    size_t first = line.find(':');
    size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string number = line.substr(second + 1, line.find(':', second + 1) - second - 1);
    if (parse_number<uid_t>(number) == uid) return line.substr(0, first);
  }
  return std::to_string(uid);
}

std::vector<pid_t> pids_of(const Container& c) {
  if (!c.record.cgroup.empty()) return Cgroup::open(c.record.cgroup).pids();
  return c.init ? std::vector<pid_t>{c.record.pid} : std::vector<pid_t>{};
}

std::vector<std::string> words(const std::string& line) {
  std::vector<std::string> list;
  size_t at = 0;
  while ((at = line.find_first_not_of(" \t", at)) != std::string::npos) {
    size_t end = std::min(line.find_first_of(" \t", at), line.size());
    list.push_back(line.substr(at, end - at));
    at = end;
  }
  return list;
}

// What `list` tells people beyond runc's columns.
struct Extra {
  std::string image, ports, note;
  bool any() const { return !image.empty() || !ports.empty() || !note.empty(); }
};

// Annotations are an image's and may hold anything; a table must stay one.
std::string in_one_word(const std::map<std::string, std::string>& annotations, const char* name) {
  auto at = annotations.find(name);
  if (at == annotations.end()) return "";
  std::string text = at->second.substr(0, 256);
  for (char& c : text)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) c = '_';
  return text;
}

Extra extra_of(const Container& c) {
  Extra extra{in_one_word(c.record.annotations, image_annotation),
              in_one_word(c.record.annotations, ports_annotation), ""};
  auto record = try_read_monitored(c.dir);
  if (!record) return extra;
  if (c.status == Status::stopped) {
    auto ended = try_read_exit_record(try_open_exit_file(c.dir));
    extra.note = ended ? "exit=" + std::to_string(ended->code) : "exit=unknown";
  } else if (!open_monitor(*record)) {
    extra.note = "no-monitor";
  }
  return extra;
}

void print(const std::string& text) {
  write_all(STDOUT_FILENO, text, "standard output");
}

}  // namespace

std::string state_text(const std::string& root, const std::string& id) {
  Container c = look_at_container(root, id);
  return oci::write(extended_state(c), 2) + "\n";
}

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  constexpr size_t least = 12, padding = 3;
  std::vector<size_t> widths;
  for (const auto& row : rows)
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      if (widths.size() <= i) widths.push_back(least);
      widths[i] = std::max(widths[i], row[i].size() + padding);
    }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size(), ' ');
    }
    text += '\n';
  }
  return text;
}

std::string age_text(const std::string& since, int64_t now) {
  const auto date = read_date(since);
  if (!date) return "";
  const int64_t age = std::max<int64_t>(0, now - date->seconds);
  if (age < 60) return std::to_string(age) + "s";
  if (age < 3600) return std::to_string(age / 60) + "m";
  if (age < 48 * 3600) return std::to_string(age / 3600) + "h";
  return std::to_string(age / 86400) + "d";
}

std::string list_text(const std::string& root, ListFormat format) {
  std::vector<oci::ExtendedState> states;
  std::vector<Extra> extras;
  std::string quiet;
  std::string passwd;
  if (format != ListFormat::quiet)
    passwd = try_read_file(AT_FDCWD, "/etc/passwd", 4 << 20).value_or("");
  for (const std::string& id : list_ids(root)) {
    if (format == ListFormat::quiet) {
      quiet += id + "\n";
      continue;
    }
    try {
      Container c = look_at_container(root, id);
      states.push_back(extended_state(c));
      states.back().owner = user_name(passwd, c.record.owner);
      if (format == ListFormat::table) extras.push_back(extra_of(c));
    } catch (const std::exception& e) {
      // Deleted meanwhile, or not a container: the others are still listed.
      log::write(log::Level::warning, "load container " + id + ": " + e.what());
    }
  }
  if (format == ListFormat::quiet) return quiet;
  // runc prints null for no container, which parsers expect.
  if (format == ListFormat::json) return states.empty() ? "null\n" : oci::write(states) + "\n";
  std::vector<std::vector<std::string>> rows = {
      {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
  // Columns for people, behind runc's, only where there is something to tell in them.
  const bool more = std::ranges::any_of(extras, [](const Extra& e) { return e.any(); });
  if (more) rows[0].insert(rows[0].end(), {"IMAGE", "AGE", "PORTS", "NOTE"});
  for (size_t i = 0; i < states.size(); ++i) {
    const oci::ExtendedState& s = states[i];
    rows.push_back({s.state.id, std::to_string(s.state.pid), s.state.status, s.state.bundle,
                    s.created, s.owner});
    const Extra& e = extras[i];
    if (!more) continue;
    for (const std::string& text : {e.image, age_text(s.created, ::time(nullptr)), e.ports, e.note})
      rows.back().push_back(text.empty() ? "-" : text);
  }
  return table_text(rows);
}

std::string ps_json(const std::string& root, const std::string& id) {
  std::string text;
  for (pid_t pid : pids_of(open_container(root, id, false)))
    text += (text.empty() ? "" : ",") + std::to_string(pid);
  return text.empty() ? "null\n" : "[" + text + "]\n";
}

std::string filter_ps(const std::string& output, const std::vector<pid_t>& pids) {
  size_t begin = 0;
  std::string text;
  std::optional<size_t> column;
  while (begin < output.size()) {
    size_t end = std::min(output.find('\n', begin), output.size());
    std::string line = output.substr(begin, end - begin);
    begin = end + 1;
    std::vector<std::string> fields = words(line);
    if (!column) {
      auto found = std::ranges::find(fields, "PID");
      if (found == fields.end()) throw Error("couldn't find PID field in ps output");
      column = static_cast<size_t>(found - fields.begin());
      text = line + "\n";
      continue;
    }
    if (fields.size() <= *column) continue;
    auto pid = parse_number<pid_t>(fields[*column]);
    if (pid && std::ranges::find(pids, *pid) != pids.end()) text += line + "\n";
  }
  return text;
}

std::string ps_table(const std::string& root, const std::string& id,
                     const std::vector<std::string>& options) {
  std::vector<pid_t> pids = pids_of(open_container(root, id, false));
  ProgramCall call;
  for (const char* path : {"/usr/bin/ps", "/bin/ps"})
    if (call.path.empty() && ::access(path, X_OK) == 0) call.path = path;
  if (call.path.empty()) throw Error("ps is not installed; try --format json");
  call.args = {"ps"};
  if (options.empty())
    call.args.emplace_back("-ef");
  else
    call.args.insert(call.args.end(), options.begin(), options.end());
  call.whole_output = true;
  ProgramResult result = run_program(call);
  if (result.wait_status != 0) throw Error("ps: " + describe(result));
  return filter_ps(result.output, pids);
}

void events(const std::string& root, const std::string& id, bool stats_once, int64_t interval_ms) {
  Container c = open_container(root, id, false);
  if (c.status == Status::stopped) throw Error("container with id " + id + " is not running");
  Cgroup cgroup = Cgroup::open(c.record.cgroup);
  auto line = [&] {
    CgroupStats stats = cgroup.stats();
    if (c.record.resctrl) stats.intel_rdt = Resctrl::open().stats(*c.record.resctrl);
    print("{\"type\":\"stats\",\"id\":\"" + id + "\",\"data\":" + stats_json(stats) + "}\n");
  };
  if (stats_once) return line();
  if (interval_ms <= 0) throw Error("duration interval must be greater than 0");
  Fd memory = cgroup.oom_events();
  uint64_t kills = cgroup.oom_kills().value_or(0);
  auto now_ms = [] {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
  };
  int64_t due = now_ms() + interval_ms;
  for (;;) {
    pollfd p[2] = {{c.init.get(), POLLIN, 0}, {memory.get(), POLLIN, 0}};
    const int64_t left = std::max<int64_t>(due - now_ms(), 0);
    int ready = ::poll(p, memory ? 2 : 1, static_cast<int>(std::min<int64_t>(left, 1 << 30)));
    if (ready < 0 && errno != EINTR) throw SysError("poll");
    if (ready > 0 && (p[1].revents & POLLIN)) {
      char buffer[4096];
      [[maybe_unused]] ssize_t ignored = ::read(memory.get(), buffer, sizeof buffer);
    }
    // Each time: v1 wakes its listeners before it counts the kill.
    const uint64_t now = cgroup.oom_kills().value_or(kills);
    if (now != kills) print("{\"type\":\"oom\",\"id\":\"" + id + "\"}\n");
    kills = now;
    if (ready > 0 && (p[0].revents & POLLIN)) return;
    if (now_ms() < due) continue;
    line();
    due = now_ms() + interval_ms;
  }
}

}  // namespace vessel
