#include "builder/registry/reference.hh"

#include <doctest/doctest.h>

using namespace kiln;

namespace {

const std::string digest =
    "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

}  // namespace

TEST_CASE("references: what Docker makes of short and long forms") {
  const struct {
    std::string given, domain, path, tag, full, familiar;
  } rows[] = {
      {"node", "docker.io", "library/node", "", "docker.io/library/node", "node"},
      {"node:20-alpine", "docker.io", "library/node", "20-alpine",
       "docker.io/library/node:20-alpine", "node:20-alpine"},
      {"me/app", "docker.io", "me/app", "", "docker.io/me/app", "me/app"},
      {"docker.io/node", "docker.io", "library/node", "", "docker.io/library/node", "node"},
      {"index.docker.io/node", "docker.io", "library/node", "", "docker.io/library/node", "node"},
      {"docker.io/library/a/b", "docker.io", "library/a/b", "", "docker.io/library/a/b",
       "library/a/b"},
      {"localhost/app", "localhost", "app", "", "localhost/app", "localhost/app"},
      {"localhost:5000/app:1", "localhost", "app", "1", "", ""},
      {"host:5000/a/b_c/d-e:T", "host:5000", "a/b_c/d-e", "T", "host:5000/a/b_c/d-e:T",
       "host:5000/a/b_c/d-e:T"},
      {"reg.example/app", "reg.example", "app", "", "reg.example/app", "reg.example/app"},
      {"[::1]:5000/app", "[::1]:5000", "app", "", "[::1]:5000/app", "[::1]:5000/app"},
      {"Host/app", "Host", "app", "", "Host/app", "Host/app"},
      {"a__b/c---d/e.f", "docker.io", "a__b/c---d/e.f", "", "docker.io/a__b/c---d/e.f",
       "a__b/c---d/e.f"},
      {"node:5000", "docker.io", "library/node", "5000", "docker.io/library/node:5000",
       "node:5000"},
  };
  for (auto row : rows) {
    CAPTURE(row.given);
    const auto r = parse_reference(row.given);
    REQUIRE(r.has_value());
    if (row.full.empty()) {  // a host with a port keeps it
      CHECK(r->domain == "localhost:5000");
      continue;
    }
    CHECK(r->domain == row.domain);
    CHECK(r->path == row.path);
    CHECK(r->tag == row.tag);
    CHECK(r->text() == row.full);
    CHECK(r->familiar() == row.familiar);
    CHECK(parse_reference(r->text()) == r);
    CHECK(parse_reference(r->familiar()) == r);
  }
}

TEST_CASE("references: digests and the default tag") {
  const auto r = parse_reference("python:3.12-slim@" + digest);
  REQUIRE(r.has_value());
  CHECK(r->tag == "3.12-slim");
  CHECK(r->digest.text() == digest);
  CHECK(r->text() == "docker.io/library/python:3.12-slim@" + digest);
  CHECK(require_reference("a").tag == "latest");
  CHECK(require_reference("a@" + digest).tag.empty());
}

TEST_CASE("references: refused") {
  for (const std::string& bad : {std::string(),
                                std::string("Node"),
                                std::string(":tag"),
                                std::string("a:"),
                                std::string("a:-x"),
                                std::string("a:.x"),
                                std::string("a b"),
                                std::string("a//b"),
                                std::string("/a"),
                                std::string("a/"),
                                std::string("-a"),
                                std::string("a-"),
                                std::string("a..b"),
                                std::string("a___b"),
                                std::string("a._b"),
                                std::string("a/../b"),
                                std::string("../a"),
                                std::string("host:port/a"),
                                std::string("host:123456/a"),
                                std::string("ho_st.x/a"),
                                std::string("[::1/a"),
                                std::string("[zz::]/a"),
                                std::string("[fe80::1%eth0]/a"),
                                std::string("-x.y/a"),
                                std::string("a@sha256:12"),
                                std::string("a@"),
                                std::string("a@md5:") + std::string(32, 'a'),
                                std::string("a@b@c"),
                                std::string("a\nb"),
                                std::string("a:t\n"),
                                std::string("http://a/b"),
                                std::string("a:") + std::string(129, 'x'),
                                std::string(64, 'a'),
                                "a/" + std::string(260, 'b'),
                                std::string("h\xc3\xa9")}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_reference(bad).has_value());
  }
  CHECK(parse_reference("a:" + std::string(128, 'x')).has_value());
  CHECK(parse_reference(std::string(63, 'a')).has_value());
}
