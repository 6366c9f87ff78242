#include "runtime/operations/logs.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "runtime/operations/log_writer.hh"
#include "runtime/operations/report.hh"
#include "runtime/sys/file.hh"

using namespace vessel;

TEST_CASE("lines of a log") {
  auto line = parse_log_line("2026-01-31T12:00:00.000000001Z stderr P some words");
  REQUIRE(line);
  CHECK(line->time == "2026-01-31T12:00:00.000000001Z");
  CHECK(line->err);
  CHECK_FALSE(line->whole);
  CHECK(line->text == "some words");
  CHECK(parse_log_line("T stdout F ")->text.empty());
  CHECK(parse_log_line("T stdout F")->text.empty());
  CHECK(parse_log_line("T stdout F  x")->text == " x");
  for (const char* bad : {"", "T", "T stdout", "T stdout ", "T stdin F x", "no log line"})
    CHECK_MESSAGE(!parse_log_line(bad), bad);
}

TEST_CASE("times of --since") {
  constexpr int64_t now = 1769860800;  // 2026-01-31T12:00:00Z
  auto stamp = [](const char* text) { return log_stamp(text, now).value_or("none"); };
  CHECK(stamp("2026-01-31T12:00:00Z") == "2026-01-31T12:00:00.000000000Z");
  CHECK(stamp("2026-01-31T12:00:00.5Z") == "2026-01-31T12:00:00.500000000Z");
  CHECK(stamp("2026-01-31T12:00:00+01:30") == "2026-01-31T10:30:00.000000000Z");
  CHECK(stamp("2026-01-31") == "2026-01-31T00:00:00.000000000Z");
  CHECK(stamp("1769860800") == "2026-01-31T12:00:00.000000000Z");
  CHECK(stamp("1h30m") == "2026-01-31T10:30:00.000000000Z");
  CHECK(stamp("2d") == "2026-01-29T12:00:00.000000000Z");
  for (const char* bad : {"", "h", "1x", "1h2", "yesterday", "2026-13-01", "2026-01-31T12",
                          "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00+1", "-5"})
    CHECK_MESSAGE(stamp(bad) == "none", bad);
}

TEST_CASE("ages") {
  CHECK(age_text("2026-01-31T12:00:00.5Z", 1769860800) == "0s");
  CHECK(age_text("2026-01-31T11:59:01Z", 1769860800) == "59s");
  CHECK(age_text("2026-01-31T11:00:00Z", 1769860800) == "1h");
  CHECK(age_text("2026-01-28T12:00:00Z", 1769860800) == "3d");
  CHECK(age_text("never", 1769860800).empty());
}

TEST_CASE("the log writer cuts lines, joins chunks and rotates") {
  char name[] = "/tmp/vessel-log-XXXXXX";
  REQUIRE(::mkdtemp(name));
  const std::string path = std::string(name) + "/log";
  auto texts = [](const std::string& file) {
    std::string all;
    std::string content = read_file(file);
    for (size_t at = 0, end; (end = content.find('\n', at)) != content.npos; at = end + 1) {
      auto line = parse_log_line(std::string_view(content).substr(at, end - at));
      REQUIRE(line);
      all += std::string(line->err ? "e" : "o") + (line->whole ? "F:" : "P:") +
             std::string(line->text) + "|";
    }
    return all;
  };
  {
    LogWriter log(path, 1 << 20, true);
    log.add(LogWriter::Stream::out, "one\ntw");
    log.add(LogWriter::Stream::err, "warn\n");
    log.add(LogWriter::Stream::out, "o\n\nlast");
    log.finish();
    CHECK(texts(path) == "oF:one|eF:warn|oF:two|oF:|oP:last|");
  }
  {
    LogWriter log(path, 1 << 20, false);
    log.add(LogWriter::Stream::out, std::string(LogWriter::most_text, 'x') + "y\n");
    CHECK(texts(path) == "oF:one|eF:warn|oF:two|oF:|oP:last|oP:" +
                             std::string(LogWriter::most_text, 'x') + "|oF:y|");
  }
  {
    LogWriter log(path, 4096, true);
    for (int i = 0; i < 100; ++i)
      log.add(LogWriter::Stream::out, "line " + std::to_string(i) + " of the log\n");
    const std::string both = texts(path + ".1") + texts(path);
    CHECK(both.ends_with("oF:line 98 of the log|oF:line 99 of the log|"));
    CHECK(read_file(path).size() <= 4096);
    CHECK(read_file(path + ".1").size() <= 4096);
  }
  CHECK_THROWS(LogWriter("/dev/null", 4096, false));
  for (const char* suffix : {"", ".1"}) ::unlink((path + suffix).c_str());
  ::rmdir(name);
}
