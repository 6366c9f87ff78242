#include "builder/solve/cache_key.hh"

#include <doctest/doctest.h>

namespace kiln::solve {

TEST_CASE("a key depends on every name and value and on nothing else") {
  CacheKey a("run"), b("run");
  a.add("command", "true").add("user", "0");
  b.add("command", "true").add("user", "0");
  CHECK(a.digest() == b.digest());
  CHECK(CacheKey("run").add("x", "ab").digest() != CacheKey("run").add("xa", "b").digest());
  CHECK(CacheKey("run").add("x", "a").add("y", "b").digest() !=
        CacheKey("run").add("y", "b").add("x", "a").digest());
  const std::vector<std::string> one = {"a b"}, two = {"a", "b"};
  CHECK(CacheKey("run").add("x", one).digest() != CacheKey("run").add("x", two).digest());
}

TEST_CASE("explain_difference names the part and shows both values") {
  const KeyParts before = {{"kind", "run"}, {"command", "npm i"}, {"gone", "1"}};
  const KeyParts now = {{"kind", "run"}, {"command", "npm ci"}, {"fresh", "2"}};
  const auto reasons = explain_difference(before, now);
  REQUIRE(reasons.size() == 3);
  CHECK(reasons[0] == "command changed: \"npm i\" -> \"npm ci\"");
  CHECK(reasons[1] == "fresh is new: \"2\"");
  CHECK(reasons[2] == "gone is gone: \"1\"");
  CHECK(explain_difference(before, before).empty());
}

TEST_CASE("explain_difference hides digests and long common starts") {
  const std::string d1 = "sha256:" + std::string(64, 'a'), d2 = "sha256:" + std::string(64, 'b');
  CHECK(explain_difference({{"sources", d1}}, {{"sources", d2}})[0] == "sources changed");
  const std::string start(100, 'x');
  const auto reason = explain_difference({{"command", start + "1"}}, {{"command", start + "2"}})[0];
  CHECK(reason == "command changed: …\"xxxxxxxxxx1\" -> …\"xxxxxxxxxx2\"");
}

}  // namespace kiln::solve
