#include "builder/steps/published_port.hh"

#include <doctest/doctest.h>

#include "builder/sys/error.hh"

using namespace kiln;

TEST_CASE("what -p means") {
  const auto one = [](const char* text) {
    const auto ports = parse_published(text);
    REQUIRE(ports.size() == 1);
    return ports[0];
  };
  CHECK(one("9000:80") == PublishedPort{"", 9000, 80, false});
  CHECK(one("80") == PublishedPort{"", 0, 80, false});
  CHECK(one("127.0.0.1:9000:80/udp") == PublishedPort{"127.0.0.1", 9000, 80, true});
  CHECK(one("127.0.0.1::80") == PublishedPort{"127.0.0.1", 0, 80, false});
  CHECK(one("[::1]:9000:80/tcp") == PublishedPort{"::1", 9000, 80, false});
  const auto range = parse_published("8000-8002:80-82");
  REQUIRE(range.size() == 3);
  CHECK(range[2] == PublishedPort{"", 8002, 82, false});
  CHECK(ports_text({one("9000:80"), one("[::1]:53:53/udp")}) ==
        "0.0.0.0:9000->80/tcp,[::1]:53->53/udp");
  for (const char* bad :
       {"", ":", "80:", "0:80", "80:0", "65536", "a:80", "80:a", "1.2.3:1:2", "80/sctp", "80/",
        "8000-8001:80", "8001-8000:80-81", "host:1:2", "-1:80", "+1:80", " 80", "1.1.1.1:2:3:4"})
    CHECK_THROWS_AS_MESSAGE(parse_published(bad), Error, bad);
}

TEST_CASE("a free port is picked, a taken one is named") {
  auto ports = parse_published("127.0.0.1::80");
  claim_ports(ports);
  CHECK(ports[0].host != 0);
  auto twice = std::vector<PublishedPort>{ports[0], ports[0]};
  CHECK_THROWS_AS(claim_ports(twice), Error);
}
