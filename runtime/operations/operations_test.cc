#include <doctest/doctest.h>

#include <csignal>

#include "runtime/operations/lifecycle.hh"
#include "runtime/operations/report.hh"
#include "runtime/sys/error.hh"

using namespace vessel;

TEST_CASE("signals by number and by name") {
  CHECK(parse_signal("9") == SIGKILL);
  CHECK(parse_signal("KILL") == SIGKILL);
  CHECK(parse_signal("sigterm") == SIGTERM);
  CHECK(parse_signal("RTMIN+3") == 37);
  CHECK(parse_signal("SIGRTMAX-1") == 63);
  CHECK(parse_signal("0") == 0);
  for (const char* bad : {"", "65", "-1", "NOPE", "9x", "RTMIN+99", "RTMAX+1", "SIG"})
    CHECK_THROWS_AS(parse_signal(bad), Error);
}

TEST_CASE("tables are laid out as runc's") {
  CHECK(table_text({{"ID", "PID", "OWNER"}, {"c1", "11207", "root"}}) ==
        "ID          PID         OWNER\nc1          11207       root\n");
  CHECK(table_text({{"ID", "X"}, {"a-long-identifier", "y"}}) ==
        "ID                  X\na-long-identifier   y\n");
}

TEST_CASE("only the container's lines of ps are shown") {
  const char* output = "UID  PID PPID CMD\nroot   1    0 init 7\nroot   7    1 a\nx 70 1 b\n";
  CHECK(filter_ps(output, {7}) == "UID  PID PPID CMD\nroot   7    1 a\n");
  CHECK(filter_ps(output, {}) == "UID  PID PPID CMD\n");
  CHECK_THROWS_AS(filter_ps("A B\n", {1}), Error);
}
