#include "runtime/container/monitored.hh"

#include <fcntl.h>
#include <unistd.h>

#include "oci-spec/format_error.hh"
#include "oci-spec/runtime_visitors.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/process.hh"

namespace vessel {

namespace {

constexpr const char* exit_name = "exit.json";
constexpr size_t exit_limit = 4096;

}  // namespace

template <class V>
void describe(V& v, oci::Described<V, Monitored>& m) {
  v.required("bundle", m.bundle);
  v.required("log", m.log);
  v.required("logIsAuto", m.log_is_auto);
  v.required("logSize", m.log_size);
  v.required("remove", m.remove);
  v.required("systemdCgroup", m.systemd_cgroup);
  v.required("noPivot", m.no_pivot);
  v.required("noNewKeyring", m.no_new_keyring);
  v.field("rootless", m.rootless);
  v.required("monitor", m.monitor);
  v.required("monitorStart", m.monitor_start);
}

template <class V>
void describe(V& v, oci::Described<V, ExitRecord>& r) {
  v.required("code", r.code);
  v.field("finished", r.finished);
}

void write_monitored(const StateDir& dir, const Monitored& record) {
  replace_file(dir.fd(), monitor_file_name, oci::JsonWriter::write_document(record, -1), 0600);
}

std::optional<Monitored> try_read_monitored(const StateDir& dir) {
  auto text = try_read_file(dir.fd(), monitor_file_name);
  if (!text) return std::nullopt;
  return oci::JsonReader::read_document<Monitored>(*text, dir.path() + "/" + monitor_file_name);
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
  std::string text = oci::JsonWriter::write_document(record, -1);
  if (::pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    throw SysError("write exit.json");
}

std::optional<ExitRecord> try_read_exit_record(const Fd& file) {
  if (!file) return std::nullopt;
  std::string text(exit_limit, '\0');
  ssize_t length = ::pread(file.get(), text.data(), text.size(), 0);
  if (length <= 0) return std::nullopt;
  text.resize(static_cast<size_t>(length));
  try {
    return oci::JsonReader::read_document<ExitRecord>(text, exit_name);
  } catch (const oci::FormatError&) {
    return std::nullopt;
  }
}

}  // namespace vessel
