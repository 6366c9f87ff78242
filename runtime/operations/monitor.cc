#include "runtime/operations/monitor.hh"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "oci-spec/runtime_config.hh"
#include "runtime/container/status.hh"
#include "runtime/operations/lifecycle.hh"
#include "runtime/operations/log_writer.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/fd_batch.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/process.hh"

namespace vessel {

namespace {

struct Pipe {
  Fd reading, writing;
};

// The writing end is open for reading as well: see monitor.hh.
Pipe make_output_pipe(uid_t owner) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) throw SysError("pipe2");
  Pipe pipe{Fd(ends[0]), Fd()};
  Fd plain(ends[1]);
  // Programs reopen /dev/stdout as the container's user.
  if (::fchown(plain.get(), owner, static_cast<gid_t>(-1)) < 0 && errno != EPERM && errno != EINVAL)
    throw SysError("chown the output pipe");
  pipe.writing =
      open_file(AT_FDCWD, "/proc/self/fd/" + std::to_string(plain.get()), O_RDWR | O_NOCTTY);
  if (::fcntl(pipe.reading.get(), F_SETFL, O_NONBLOCK) < 0) throw SysError("fcntl");
  return pipe;
}

uid_t host_user(const oci::Config& config) {
  if (!config.process) return 0;
  uid_t uid = config.process->user.uid;
  if (!config.linux_) return uid;
  for (const oci::IdMapping& m : config.linux_->uid_mappings)
    if (uid >= m.container_id && uid - m.container_id < m.size)
      return m.host_id + (uid - m.container_id);
  return uid;
}

class Monitor {
 public:
  Monitor(MonitorRequest& request, bool anew) : request_(request), anew_(anew) {}

  // Returns once the container runs.
  void begin() {
    const std::string file = request_.create.bundle + "/config.json";
    oci::Config config = oci::read_config(read_file(file), file);
    log_.emplace(request_.log, request_.log_size, anew_);
    bool terminal = config.process && config.process->terminal;
    give_stdio(terminal, host_user(config));
    request_.create.detach = false;  // the terminal's master stays with this process
    request_.create.start_at_once = true;
    created_.emplace(create_container(request_.create));
    Monitored record{.bundle = request_.create.bundle,
                     .log = request_.log,
                     .log_is_auto = request_.log == auto_log(request_.create),
                     .log_size = request_.log_size,
                     .remove = request_.remove,
                     .systemd_cgroup = request_.create.systemd_cgroup,
                     .no_pivot = request_.create.no_pivot,
                     .no_new_keyring = request_.create.no_new_keyring,
                     .rootless = request_.create.rootless,
                     .monitor = ::getpid()};
    if (auto stat = try_read_process_stat(::getpid())) record.monitor_start = stat->start_time;
    try {
      write_monitored(created_->dir, record);
      exit_file_ = make_exit_file(created_->dir);
    } catch (const std::exception&) {
      destroy_container(created_->dir, created_->record, created_->cgroup, created_->init.pidfd());
      throw;
    }
    finish_start(*created_);
    if (created_->master) {
      out_ = std::move(created_->master);
      if (::fcntl(out_.get(), F_SETFL, O_NONBLOCK) < 0) throw SysError("fcntl");
    }
  }

  static std::string auto_log(const CreateRequest& create) {
    return create.bundle + "/" + create.id + ".log";
  }

  // From now on nothing is heard of this process but the log.
  void settle() {
    if (::chdir("/") < 0) throw SysError("chdir /");
    for (int signal : {SIGHUP, SIGINT, SIGPIPE}) ::signal(signal, SIG_IGN);
    ::prctl(PR_SET_NAME, "vessel-monitor");
    Fd null = open_file(AT_FDCWD, "/dev/null", O_RDWR);
    for (int fd : {0, 1, 2})
      if (::dup2(null.get(), fd) < 0) throw SysError("dup2");
    std::array<int, 7> keep = {log::let_go_of_stderr(),
                               out_.get(),
                               err_.get(),
                               exit_file_.get(),
                               created_->dir.fd(),
                               log_->fd(),
                               created_->init.pidfd().get()};
    std::ranges::sort(keep);
    unsigned next = 3;
    for (int fd : keep) {
      if (fd < static_cast<int>(next)) continue;
      if (fd > static_cast<int>(next)) close_all_between(next, static_cast<unsigned>(fd) - 1);
      next = static_cast<unsigned>(fd) + 1;
    }
    close_all_between(next, ~0U);
    // What the plan took is not needed any more.
    created_->plan.reset();
    ::malloc_trim(0);
  }

  void watch() {
    const int init = created_->init.pidfd().get();
    for (bool running = true; running;) {
      pollfd entries[3] = {{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}, {init, POLLIN, 0}};
      if (::poll(entries, 3, -1) < 0) {
        if (errno == EINTR) continue;
        break;
      }
      if (entries[0].revents) take(out_, LogWriter::Stream::out);
      if (entries[1].revents) take(err_, LogWriter::Stream::err);
      running = entries[2].revents == 0;
    }
    const int code = exit_code_of(reap(created_->init.pid()));
    const std::string finished = log::now(true);
    // What it wrote last; processes that outlive init may hold the pipes open for ever.
    while (take(out_, LogWriter::Stream::out)) continue;
    while (take(err_, LogWriter::Stream::err)) continue;
    log_->finish();
    write_exit_record(exit_file_, {code, finished});
  }

  void remove() {
    destroy_container(created_->dir, created_->record, created_->cgroup, Fd());
    if (request_.log == auto_log(request_.create)) {
      ::unlink(request_.log.c_str());
      ::unlink((request_.log + ".1").c_str());
    }
  }

 private:
  void give_stdio(bool terminal, uid_t owner) {
    Fd null = open_file(AT_FDCWD, "/dev/null", O_RDWR);
    if (::dup2(null.get(), 0) < 0) throw SysError("dup2");
    if (terminal) return;
    Pipe out = make_output_pipe(owner), err = make_output_pipe(owner);
    if (::dup2(out.writing.get(), 1) < 0 || ::dup2(err.writing.get(), 2) < 0)
      throw SysError("dup2");
    out_ = std::move(out.reading);
    err_ = std::move(err.reading);
  }

  // False when there is nothing to read now; a source that ended is closed.
  bool take(Fd& from, LogWriter::Stream stream) {
    if (!from) return false;
    char buffer[8192];
    ssize_t length = ::read(from.get(), buffer, sizeof buffer);
    if (length > 0) {
      log_->add(stream, {buffer, static_cast<size_t>(length)});
      return true;
    }
    // EIO: the last descriptor of the terminal's other side was closed. It may be opened again, so
    // only the end of a pipe is final.
    if (length == 0 || (errno != EAGAIN && errno != EINTR)) from.reset();
    return false;
  }

  MonitorRequest& request_;
  bool anew_;
  std::optional<LogWriter> log_;
  std::optional<Created> created_;
  Fd out_, err_, exit_file_;
};

// In the child. The answer is a zero byte, or the text of the error.
[[noreturn]] void be_monitor(MonitorRequest& request, bool anew, Fd answer) {
  Monitor monitor(request, anew);
  try {
    ::setsid();
    log::keep_stderr();
    monitor.begin();
  } catch (const std::exception& e) {
    const std::string_view text = e.what();
    if (::write(answer.get(), text.data(), text.size()) < 0) ::_exit(2);
    ::_exit(1);
  }
  try {
    if (::write(answer.get(), "", 1) < 0) log::step("nobody waits for the answer");
    answer.reset();
    monitor.settle();
    monitor.watch();
    if (request.remove) monitor.remove();
  } catch (const std::exception& e) {
    log::write(log::Level::error, e.what());
    ::_exit(1);
  }
  ::_exit(0);
}

void fork_monitor(MonitorRequest request, bool anew) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) throw SysError("pipe2");
  Fd answer(ends[0]), answering(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) throw SysError("fork");
  if (child == 0) {
    answer.reset();
    be_monitor(request, anew, std::move(answering));
  }
  answering.reset();
  const std::string text = read_all(answer, "the monitor's answer");
  if (text.size() == 1 && text[0] == '\0') return;
  ::waitpid(child, nullptr, 0);
  throw Error(text.empty() ? "the monitor died while it made the container" : text);
}

}  // namespace

void run_monitored(MonitorRequest request) {
  request.create.bundle = absolute_path(request.create.bundle);
  request.log =
      request.log == "auto" ? Monitor::auto_log(request.create) : absolute_path(request.log);
  bool anew = request.log == Monitor::auto_log(request.create);
  // Else a log that belongs to the container of that name would be begun anew.
  if (StateDir::try_open(request.create.root, request.create.id))
    throw Error("container with given ID already exists");
  fork_monitor(std::move(request), anew);
}

bool can_start_again(const std::string& root, const std::string& id) {
  // One look that fails for every container an orchestrator made.
  auto dir = StateDir::try_open(root, id);
  if (!dir || ::faccessat(dir->fd(), monitor_file_name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
    return false;
  auto record = dir->try_read();
  return record && status_without_freezer(*dir, *record, init_lives(*record)) == Status::stopped;
}

void run_monitored_again(const std::string& root, const std::string& id) {
  Container c = open_container(root, id, false);
  if (c.status != Status::stopped) throw Error("cannot start an already running container");
  auto record = try_read_monitored(c.dir);
  if (!record) throw Error("cannot start a container that has stopped");
  MonitorRequest request;
  request.create.root = root;
  request.create.id = id;
  request.create.bundle = record->bundle;
  request.create.again = true;
  request.create.systemd_cgroup = record->systemd_cgroup;
  request.create.no_pivot = record->no_pivot;
  request.create.no_new_keyring = record->no_new_keyring;
  request.create.rootless = record->rootless;
  request.log = record->log;
  request.log_size = record->log_size;
  request.remove = record->remove;

  const std::string config = c.dir.read_config();
  auto ended = try_read_exit_record(try_open_exit_file(c.dir));
  Cgroup cgroup = Cgroup::open(c.record.cgroup);
  StateRecord told = c.record;
  told.annotations[restart_annotation] = "true";
  destroy_container(c.dir, told, cgroup, c.init);
  try {
    fork_monitor(std::move(request), false);
  } catch (const std::exception&) {
    // As it was before, to be looked at, tried again or deleted.
    StateDir dir = StateDir::create(root, id);
    dir.write_config(config);
    dir.write(c.record);
    write_monitored(dir, *record);
    Fd file = make_exit_file(dir);
    if (ended) write_exit_record(file, *ended);
    throw;
  }
}

}  // namespace vessel
