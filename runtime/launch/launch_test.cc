#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "runtime/launch/program.hh"
#include "runtime/launch/protocol.hh"
#include "runtime/launch/user_program.hh"
#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

using namespace vessel;

TEST_CASE("questions and answers cross the socket with text, number and descriptor") {
  auto [parent, child] = make_socket_pair();
  Asker asker(std::move(child));
  asker.tell(Ask::console, 7, "text", {0});
  Question q = next_question(parent.get());
  CHECK(q.ask == Ask::console);
  CHECK(q.number == 7);
  CHECK(q.text == "text");
  CHECK(q.fds.size() == 1);
  answer_done(parent.get(), "bytes");
  CHECK(asker.ask(Ask::ready).text == "bytes");
  CHECK(next_question(parent.get()).ask == Ask::ready);
  answer_refused(parent.get(), 13, "no such luck");
  CHECK_THROWS_WITH_AS(asker.ask(Ask::settle), "no such luck", Error);
  asker.tell_loaded(-1);
  next_question(parent.get());
  CHECK(next_question(parent.get()).number == -1);
}

TEST_CASE("bytes that are no message are refused") {
  Message m;
  m.bytes = "abc";
  CHECK_THROWS_AS(decode_message(std::move(m)), Error);
  Message unknown;
  unknown.bytes = encode_message({static_cast<Ask>(99), 0}, "");
  CHECK_THROWS_AS(decode_message(std::move(unknown)), Error);
  Message end;
  end.end = true;
  CHECK(decode_message(std::move(end)).end);
}

TEST_CASE("a seccomp program survives the way") {
  SeccompProgram program;
  program.code = {{6, 0, 0, 0x7fff0000}, {21, 1, 2, 3}};
  program.flags = 5;
  program.notifies = true;
  SeccompProgram back = decode_program(encode_program(program));
  REQUIRE(back.code.size() == 2);
  CHECK(back.code[1].jf == 2);
  CHECK(back.flags == 5);
  CHECK(back.notifies);
  CHECK_THROWS_AS(decode_program("abc"), Error);
}

TEST_CASE("home directories are read strictly from passwd") {
  const char* passwd =
      "root:x:0:0:root:/root:/bin/sh\nbad line\n:x:x:0::/no:\nu:x:1000:1000:U,,:/home/u:/bin/sh\n"
      "v:x:1001:1001";
  CHECK(home_in_passwd(passwd, 0) == "/root");
  CHECK(home_in_passwd(passwd, 1000) == "/home/u");
  CHECK(home_in_passwd(passwd, 1001) == "");
  CHECK(home_in_passwd(passwd, 5) == "");
}

TEST_CASE("programs are found as execvp would, with the texts that engines match") {
  char name[] = "/tmp/vessel-path-XXXXXX";
  REQUIRE(::mkdtemp(name));
  std::string dir = name;
  replace_file(dir + "/run", "#!/bin/sh\n", 0755);
  replace_file(dir + "/data", "x", 0644);
  auto text = [&](const std::string& program, const std::vector<std::string>& env) {
    try {
      return find_program(program, env);
    } catch (const Error& e) {
      return std::string(e.what());
    }
  };
  CHECK(text("run", {"PATH=/nonexistent:" + dir}) == dir + "/run");
  CHECK(text("run", {}) == "exec: \"run\": executable file not found in $PATH");
  CHECK(text("data", {"PATH=" + dir}) == "exec: \"data\": permission denied");
  CHECK(text(dir + "/data", {}) == "exec: \"" + dir + "/data\": permission denied");
  CHECK(text(dir, {}) == "exec: \"" + dir + "\": is a directory");
  CHECK(text(dir + "/x", {}) ==
        "exec: \"" + dir + "/x\": stat " + dir + "/x: no such file or directory");
  ::unlink((dir + "/run").c_str());
  ::unlink((dir + "/data").c_str());
  ::rmdir(name);
}
