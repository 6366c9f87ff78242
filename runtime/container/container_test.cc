#include <doctest/doctest.h>
#include <fcntl.h>

#include <csignal>
#include <cstdlib>

#include "oci-spec/format_error.hh"
#include "runtime/container/exec_fifo.hh"
#include "runtime/container/id.hh"
#include "runtime/container/status.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/process.hh"

using namespace vessel;

namespace {

struct TemporaryRoot {
  TemporaryRoot() {
    char name[] = "/tmp/vessel-state-XXXXXX";
    REQUIRE(::mkdtemp(name));
    path = name;
  }
  ~TemporaryRoot() { ::rmdir(path.c_str()); }
  std::string path;
};

StateRecord sample(pid_t pid) {
  StateRecord r;
  r.id = "c1";
  r.bundle = "/b";
  r.rootfs = "/b/rootfs";
  r.created = "2026-01-01T00:00:00.000000000Z";
  r.annotations = {{"a.b/c", "d"}};
  r.phase = Phase::running;
  r.pid = pid;
  if (auto stat = try_read_process_stat(pid)) r.start_time = stat->start_time;
  r.boot_id = boot_id();
  r.pid_namespace = own_pid_namespace();
  r.has_poststop = true;
  return r;
}

}  // namespace

TEST_CASE("ids are one safe path component") {
  for (const char* good : {"c1", "A_b-c.d+e", "..."}) CHECK_NOTHROW(check_id(good));
  for (const char* bad : {"", ".", "..", "a/b", "../x", "a b", "a\n", "ü"})
    CHECK_THROWS_AS(check_id(bad), Error);
  CHECK_NOTHROW(check_id(std::string(255, 'a')));
  CHECK_THROWS_WITH(check_id(std::string(300, 'a')),
                    doctest::Contains("has 300 characters, an id has at most 255"));
}

TEST_CASE("a state record survives the file and refuses another format") {
  StateRecord r = sample(::getpid());
  r.cgroup.paths = {{"memory", "/sys/fs/cgroup/memory/x"}};
  r.creator_cgroups = {{"", "/user.slice"}};
  StateRecord back = read_state_record(write_state(r), "f");
  CHECK(back.id == r.id);
  CHECK(back.pid == r.pid);
  CHECK(back.start_time == r.start_time);
  CHECK(back.phase == Phase::running);
  CHECK(back.annotations == r.annotations);
  CHECK(back.cgroup == r.cgroup);
  CHECK(back.creator_cgroups == r.creator_cgroups);
  CHECK(back.has_poststop);
  CHECK_FALSE(back.has_poststart);
  CHECK_THROWS_AS(read_state_record("{\"format\":99}", "f"), oci::FormatError);
  CHECK_THROWS_AS(read_state_record("{", "f"), oci::FormatError);
}

TEST_CASE("a pid that belongs to another process is a stopped container") {
  TemporaryRoot root;
  StateDir dir = StateDir::create(root.path, "c1");
  StateRecord r = sample(::getpid());
  dir.write(r);
  CHECK(open_container(root.path, "c1", false).status == Status::running);
  r.start_time += 1;
  dir.write(r);
  CHECK(open_container(root.path, "c1", false).status == Status::stopped);
  r.start_time -= 1;
  r.boot_id = "another boot";
  dir.write(r);
  CHECK(open_container(root.path, "c1", false).status == Status::stopped);
  CHECK(spec_state(r, Status::stopped).pid == 0);
  dir.remove();
  CHECK_FALSE(StateDir::try_open(root.path, "c1"));
}

TEST_CASE("an id is claimed once, and writing after a removal says so") {
  TemporaryRoot root;
  StateDir dir = StateDir::create(root.path, "c1");
  CHECK_THROWS_WITH_AS(StateDir::create(root.path, "c1"), "container with given ID already exists",
                       Error);
  CHECK(list_ids(root.path) == std::vector<std::string>{"c1"});
  {
    StateDir::Lock lock(dir);
    CHECK(lock.still_there());
    StateDir other = StateDir::open(root.path, "c1");
    other.remove();
    CHECK_FALSE(lock.still_there());
  }
  CHECK_THROWS_AS(dir.write(sample(1)), Error);
  CHECK_NOTHROW(dir.remove());
  CHECK_THROWS_WITH_AS(StateDir::open(root.path, "c1"), "container does not exist", Error);
}

TEST_CASE("the gate holds a process until it is opened and tells how execve ended") {
  TemporaryRoot root;
  StateDir dir = StateDir::create(root.path, "c1");
  for (const char* error : {"", "exec /x: Exec format error"}) {
    Fd waiting = make_exec_fifo(dir.fd());
    Clone child = clone_process({});
    if (child.pid == 0) {
      wait_at_gate(waiting.get());
      tell_gate(waiting.get(), error);
      ::_exit(7);
    }
    waiting.reset();
    CHECK_FALSE(wait_gone(child.pidfd, 50));
    Fd gate = open_exec_fifo(dir.fd());
    REQUIRE(gate);
    CHECK(open_gate(gate));
    CHECK(wait_for_exec(gate, child.pidfd) == error);
    CHECK(exit_code_of(reap(child.pid)) == 7);
    Fd late = open_exec_fifo(dir.fd());
    CHECK_FALSE(open_gate(late));
    ::unlinkat(dir.fd(), exec_fifo_name, 0);
  }
  CHECK_FALSE(open_exec_fifo(dir.fd()));
  dir.remove();
}
