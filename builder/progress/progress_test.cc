#include "builder/progress/progress.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "builder/sys/fd.hh"

namespace kiln {

namespace {

struct Pipe {
  Fd read, write;
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  std::string text() {
    write.reset();
    std::string all;
    std::array<char, 4096> buffer{};
    for (ssize_t n; (n = ::read(read.get(), buffer.data(), buffer.size())) > 0;)
      all.append(buffer.data(), static_cast<size_t>(n));
    return all;
  }
};

}  // namespace

TEST_CASE("terminal_text keeps text and drops what steers a terminal") {
  CHECK(terminal_text("plain text") == "plain text");
  CHECK(terminal_text("a\tb") == "a b");
  CHECK(terminal_text("\x1b[31mred\x1b[0m") == "red");
  CHECK(terminal_text("\x1b]0;title\x07text") == "text");
  CHECK(terminal_text("\x1b]0;title\x1b\\text") == "text");
  CHECK(terminal_text("bell\a back\b") == "bell back");
  CHECK(terminal_text("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");
  CHECK(terminal_text("bad\xff!") == "bad?!");
  CHECK(terminal_text("c1\xc2\x9b"
                      "31m") == "c131m");
  CHECK(terminal_text("abcdef", 3) == "abc");
  CHECK(terminal_text("\xc3\xbc\xc3\xbc\xc3\xbc", 2) == "\xc3\xbc\xc3\xbc");
  CHECK(terminal_text("ends in escape\x1b") == "ends in escape");
  // U+6F22 U+5B57 take two columns each, U+0301 none; U+202E writes backwards.
  CHECK(terminal_text("\xe6\xbc\xa2\xe5\xad\x97", 3) == "\xe6\xbc\xa2");
  CHECK(terminal_text("\xe6\xbc\xa2\xe5\xad\x97", 4) == "\xe6\xbc\xa2\xe5\xad\x97");
  CHECK(terminal_text("e\xcc\x81x", 2) == "e\xcc\x81x");
  CHECK(terminal_text("\xf0\x9f\x9a\x80go", 3) == "\xf0\x9f\x9a\x80g");
  CHECK(terminal_text("a\xe2\x80\xae"
                      "b") == "ab");
}

TEST_CASE("duration_text") {
  using namespace std::chrono_literals;
  CHECK(duration_text(40ms) == "0.0s");
  CHECK(duration_text(1240ms) == "1.2s");
  CHECK(duration_text(125s) == "2m05s");
}

TEST_CASE("plain progress numbers its steps and reports outcomes") {
  Pipe pipe;
  auto progress = make_plain_progress(pipe.write.get());
  const StepId a = progress->begin("[1/2] FROM base");
  const StepId b = progress->begin("[2/2] RUN x");
  progress->end(a, Outcome::cached);
  progress->output(b, Stream::out, "hello");
  progress->end(b, Outcome::failed);
  progress->warn("careful");
  const std::string text = pipe.text();
  CHECK(text.starts_with("#1 [1/2] FROM base\n#2 [2/2] RUN x\n#1 CACHED\n#2 0."));
  CHECK(text.find(" hello\n#2 ERROR after 0.0s\nWARNING: careful\n") != std::string::npos);
}

TEST_CASE("json progress writes one object a line, malformed UTF-8 included") {
  Pipe pipe;
  auto progress = make_json_progress(pipe.write.get());
  const StepId a = progress->begin("x");
  progress->output(a, Stream::err, "bad \xff byte");
  progress->end(a, Outcome::done);
  const std::string text = pipe.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 3);
  CHECK(text.starts_with(R"({"step":1,"event":"begin","name":"x")"));
  CHECK(text.find(R"("stream":"stderr")") != std::string::npos);
  CHECK(text.find(R"("outcome":"done")") != std::string::npos);
}

TEST_CASE("terminal progress leaves one line for each finished step") {
  Pipe pipe;
  auto progress = make_terminal_progress(pipe.write.get(), false);
  const StepId a = progress->begin("[1/1] RUN x");
  progress->output(a, Stream::out, "\x1b[2Jwiped?");
  progress->end(a, Outcome::done);
  progress->close();
  const std::string text = pipe.text();
  CHECK(text.find("[1/1] RUN x  0.0s\n") != std::string::npos);
  CHECK(text.find("\x1b[2J") == std::string::npos);
}

}  // namespace kiln
