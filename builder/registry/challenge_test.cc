#include "builder/registry/challenge.hh"

#include <doctest/doctest.h>

using namespace kiln;

TEST_CASE("challenges: what registries send") {
  const auto c = parse_challenges(
      R"(Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push",error="invalid_token")");
  REQUIRE(c.size() == 1);
  CHECK(c[0].scheme == "bearer");
  CHECK(c[0].parameters.at("realm") == "https://auth.example/token");
  CHECK(c[0].parameters.at("scope") == "repository:a/b:pull,push");
  CHECK(c[0].parameters.size() == 4);
}

TEST_CASE("challenges: several in one header, odd spacing, tokens and escapes") {
  const auto c =
      parse_challenges(R"(Negotiate , BASIC  Realm = "a \"q\" b" ,, bearer realm=x , y="1")");
  REQUIRE(c.size() == 3);
  CHECK(c[0].scheme == "negotiate");
  CHECK(c[1].scheme == "basic");
  CHECK(c[1].parameters.at("realm") == "a \"q\" b");
  CHECK(c[2].parameters.at("realm") == "x");
  CHECK(c[2].parameters.at("y") == "1");
}

TEST_CASE("challenges: malformed text ends the list and nothing else") {
  CHECK(parse_challenges("").empty());
  CHECK(parse_challenges("=x").empty());
  CHECK(parse_challenges("realm=\"x\"").empty());
  CHECK(parse_challenges("Basic realm=\"never ends").size() == 1);
  CHECK(parse_challenges("Basic realm=\"never ends")[0].parameters.empty());
  CHECK(parse_challenges("Bearer realm=\"a\",realm=\"b\"")[0].parameters.at("realm") == "a");
  CHECK(parse_challenges("\x01\x02").empty());
}
