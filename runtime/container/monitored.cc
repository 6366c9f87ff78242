#include "runtime/container/monitored.hh"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "oci-spec/format_error.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/process.hh"

namespace vessel {

namespace {

using nlohmann::json;

constexpr const char* exit_name = "exit.json";
constexpr size_t exit_limit = 4096;

}  // namespace

void write_monitored(const StateDir& dir, const Monitored& record) {
  json j = {{"bundle", record.bundle},         {"log", record.log},
            {"logIsAuto", record.log_is_auto}, {"logSize", record.log_size},
            {"remove", record.remove},         {"systemdCgroup", record.systemd_cgroup},
            {"noPivot", record.no_pivot},      {"noNewKeyring", record.no_new_keyring},
            {"monitor", record.monitor},       {"monitorStart", record.monitor_start}};
  if (record.rootless) j["rootless"] = *record.rootless;
  replace_file(dir.fd(), monitor_file_name, j.dump(-1, ' ', false, json::error_handler_t::replace),
               0600);
}

std::optional<Monitored> try_read_monitored(const StateDir& dir) {
  auto text = try_read_file(dir.fd(), monitor_file_name);
  if (!text) return std::nullopt;
  try {
    json j = json::parse(*text);
    Monitored record;
    j.at("bundle").get_to(record.bundle);
    j.at("log").get_to(record.log);
    j.at("logIsAuto").get_to(record.log_is_auto);
    j.at("logSize").get_to(record.log_size);
    j.at("remove").get_to(record.remove);
    j.at("systemdCgroup").get_to(record.systemd_cgroup);
    j.at("noPivot").get_to(record.no_pivot);
    j.at("noNewKeyring").get_to(record.no_new_keyring);
    j.at("monitor").get_to(record.monitor);
    j.at("monitorStart").get_to(record.monitor_start);
    if (auto r = j.find("rootless"); r != j.end()) record.rootless = r->get<bool>();
    return record;
  } catch (const json::exception& e) {
    throw oci::FormatError(dir.path() + "/" + monitor_file_name, {{"", e.what()}});
  }
}

Fd open_monitor(const Monitored& record) {
  if (record.monitor <= 0) return Fd();
  Fd pidfd = try_open_pidfd(record.monitor);
  if (!pidfd) return Fd();
  auto stat = try_read_process_stat(record.monitor);
  if (!stat || stat->dead() || stat->start_time != record.monitor_start) return Fd();
  return pidfd;
}

Fd make_exit_file(const StateDir& dir) {
  return open_file(dir.fd(), exit_name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
}

Fd try_open_exit_file(const StateDir& dir) {
  return try_open_file(dir.fd(), exit_name, O_RDONLY | O_NOFOLLOW);
}

void write_exit_record(const Fd& file, const ExitRecord& record) {
  // One write: a reader sees nothing or all of it.
  std::string text = json({{"code", record.code}, {"finished", record.finished}}).dump();
  if (::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    throw SysError("write exit.json");
}

std::optional<ExitRecord> try_read_exit_record(const Fd& file) {
  if (!file) return std::nullopt;
  std::string text(exit_limit, '\0');
  ssize_t length = ::pread(file.get(), text.data(), text.size(), 0);
  if (length <= 0) return std::nullopt;
  text.resize(static_cast<size_t>(length));
  json j = json::parse(text, nullptr, false);
  if (!j.is_object() || !j.contains("code") || !j["code"].is_number_integer()) return std::nullopt;
  return ExitRecord{j["code"].get<int>(), j.value("finished", "")};
}

}  // namespace vessel
