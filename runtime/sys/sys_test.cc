#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>

#include "runtime/sys/date.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/mountinfo.hh"
#include "runtime/sys/number.hh"
#include "runtime/sys/process.hh"
#include "runtime/sys/socket.hh"

using namespace vessel;

TEST_CASE("numbers are the whole text, in range, or nothing") {
  CHECK(parse_number<uint32_t>("0") == 0);
  CHECK(parse_number<uint32_t>("4294967295") == 4294967295u);
  CHECK_FALSE(parse_number<uint32_t>("4294967296"));
  for (const char* bad : {"", "+1", " 1", "1 ", "0x1", "1a", "-1", "1.0"})
    CHECK_FALSE(parse_number<uint32_t>(bad));
  CHECK(parse_number<int>("-1") == -1);
  CHECK_FALSE(parse_number<int>("65", 1, 64));
}

TEST_CASE("a process's stat line survives any command name") {
  auto stat = parse_process_stat(
      "42 (a) b) (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1000 1 "
      "18446744073709551615 0\n");
  REQUIRE(stat);
  CHECK(stat->state == 'S');
  CHECK(stat->start_time == 987654);
  CHECK_FALSE(stat->dead());
  CHECK_FALSE(parse_process_stat("42 (x) S 1 2"));
  CHECK_FALSE(parse_process_stat(""));
  CHECK(try_read_process_stat(::getpid()));
}

TEST_CASE("a file is replaced at once and leaves no temporary behind") {
  char name[] = "/tmp/vessel-file-XXXXXX";
  REQUIRE(::mkdtemp(name));
  std::string dir = name;
  replace_file(dir + "/a", "one", 0600);
  replace_file(dir + "/a", "two", 0600);
  CHECK(read_file(dir + "/a") == "two");
  CHECK_THROWS_AS(read_file(AT_FDCWD, dir + "/a", 2), Error);
  CHECK_FALSE(try_read_file(AT_FDCWD, dir + "/b"));
  CHECK_THROWS_AS(replace_file(dir + "/none/a", "x", 0600), SysError);
  ::unlink((dir + "/a").c_str());
  CHECK(::rmdir(name) == 0);
}

TEST_CASE("messages keep their borders and carry descriptors") {
  auto [a, b] = make_socket_pair();
  int pipe_fds[2];
  REQUIRE(::pipe2(pipe_fds, O_CLOEXEC) == 0);
  Fd reader(pipe_fds[0]), writer(pipe_fds[1]);
  CHECK(send_message(a.get(), "first", {writer.get()}));
  CHECK(send_message(a.get(), "second"));
  Message m = receive_message(b.get());
  CHECK(m.bytes == "first");
  REQUIRE(m.fds.size() == 1);
  CHECK((::fcntl(m.fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(receive_message(b.get()).bytes == "second");
  CHECK(send_message(a.get(), std::string(100, 'x')));
  CHECK_THROWS_AS(receive_message(b.get(), 50), SysError);
  a.reset();
  CHECK(receive_message(b.get()).end);
  CHECK_FALSE(send_message(b.get(), "late"));
}

TEST_CASE("log lines are what logrus writes") {
  using log::Level;
  CHECK(log::format_line(false, "T", Level::error, "a \"b\"\n\\") ==
        R"(time="T" level=error msg="a \"b\"\n\\")");
  CHECK(log::format_line(true, "T", Level::warning, "a\x01") ==
        "{\"level\":\"warning\",\"msg\":\"a\\u0001\",\"time\":\"T\"}");
  CHECK(log::format_line(true, "T", Level::warning, "\xc2\x9b\xc2\xa9") ==
        "{\"level\":\"warning\",\"msg\":\"\\u009b\xc2\xa9\",\"time\":\"T\"}");
  for (const char* bad : {"\xff", "\xc3(", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"})
    CHECK(log::format_line(true, "T", Level::error, std::string("a") + bad).find(bad) ==
          std::string::npos);
  CHECK(log::format_line(true, "T", Level::error,
                         "a\xff"
                         "b\xf0\x9f\x90\x8b") ==
        "{\"level\":\"error\",\"msg\":\"a\xef\xbf\xbd"
        "b\xf0\x9f\x90\x8b\",\"time\":\"T\"}");
  std::string stamp = log::now(true);
  CHECK(stamp.size() == 30);
  CHECK(stamp.back() == 'Z');
}

TEST_CASE("a child is made, signalled, waited for and reaped by descriptor") {
  Clone child = clone_process({});
  if (child.pid == 0) {
    ::pause();
    ::_exit(0);
  }
  CHECK_FALSE(wait_gone(child.pidfd, 0));
  CHECK(send_signal(child.pidfd, SIGKILL));
  CHECK(wait_gone(child.pidfd, -1));
  CHECK(exit_code_of(reap(child.pid)) == 137);
  CHECK_FALSE(send_signal(child.pidfd, 0));
}

TEST_CASE("dates are read and written as RFC 3339 has them") {
  using vessel::Moment;
  using vessel::read_date;
  using vessel::write_date;
  CHECK(write_date({0, 0}, false) == "1970-01-01T00:00:00Z");
  CHECK(write_date({1795872402, 7}, true) == "2026-11-28T13:26:42.000000007Z");
  const auto seconds = [](const char* text) {
    return read_date(text).value_or(Moment{-1, 0}).seconds;
  };
  CHECK(seconds("1970-01-01") == 0);
  CHECK(seconds("2026-11-28T13:26:42Z") == 1795872402);
  CHECK(seconds("2026-11-28T14:26:42.5+01:00") == 1795872402);
  CHECK(seconds("2024-02-29T00:00:00-00:30") == 1709166600);
  CHECK(read_date("2026-11-28T13:26:42.25")->nanoseconds == 250'000'000);
  for (const char* bad : {"", "2026-11", "2026-13-01", "2026-11-28 13:26:42", "2026-11-28T24:00:00",
                          "2026-11-28T13:26:42.", "2026-11-28T13:26:42+1:00", "26-11-28T00:00:00Z"})
    CHECK_FALSE(read_date(bad));
}

TEST_CASE("mountinfo: fields, and names with spaces") {
  const auto fields = mountinfo_fields(
      "36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime master:1 - ext3 /dev/root rw,errors=continue");
  REQUIRE(fields.size() == 11);
  CHECK(fields[3] == "/mnt1");
  CHECK(unescape_mountinfo(fields[4]) == "/mnt 2\\x");
  CHECK(unescape_mountinfo("a\\b\\09") == "a\\b\\09");  // no escapes
  CHECK(mountinfo_fields("").empty());
}
