#include "builder/registry/registries.hh"

#include <doctest/doctest.h>

#include "builder/sys/error.hh"

using namespace kiln;

namespace {

Registries read(std::string_view text) {
  Registries r;
  read_registries(r, text, "conf");
  return r;
}

std::vector<std::string> places(const Registries& r, std::string_view name) {
  std::vector<std::string> result;
  for (const Endpoint& e : r.sources(require_reference(name)))
    result.push_back(e.host + "/" + e.path);
  return result;
}

}  // namespace

TEST_CASE("registries: the registry of short names answers under another name") {
  CHECK(places(read(""), "node") == std::vector<std::string>{"registry-1.docker.io/library/node"});
}

TEST_CASE("registries: mirrors in order, then the registry") {
  const Registries r = read(
      "mirror docker.io mirror.lan:5000/hub  # comment\n"
      "\tmirror docker.io/library http://other.lan\r\n\n");
  CHECK(places(r, "node") == std::vector<std::string>{"mirror.lan:5000/hub/library/node",
                                                      "other.lan/node",
                                                      "registry-1.docker.io/library/node"});
  CHECK(r.sources(require_reference("node"))[1].plain_first);
  CHECK(places(r, "me/app").size() == 2);
  CHECK(r.destination(require_reference("node")).host == "registry-1.docker.io");
}

TEST_CASE("registries: rewritten names, the longest prefix counts") {
  const Registries r = read(
      "rewrite corp/ reg.example/teams/\n"
      "rewrite corp/base reg.example:5000/golden\n"
      "rewrite old.example new.example\n");
  CHECK(places(r, "corp/x/y:1")[0] == "reg.example/teams/x/y");
  CHECK(places(r, "corp/base")[0] == "reg.example:5000/golden");
  CHECK(places(r, "corp/base/z")[0] == "reg.example:5000/golden/z");
  CHECK(places(r, "corp/based")[0] == "reg.example/teams/based");
  CHECK(places(r, "corporate/x")[0] == "registry-1.docker.io/corporate/x");
  CHECK(places(r, "old.example/a/b")[0] == "new.example/a/b");
}

TEST_CASE("registries: blocked, insecure, limits") {
  const Registries r = read(
      "blocked bad.example\nblocked ok.example/team\ninsecure *.lan\ninsecure h:5000\n"
      "rewrite x/ bad.example/\nparallel 3\nstall 7\n");
  CHECK_THROWS_AS(r.destination(require_reference("bad.example/a")), Error);
  CHECK_THROWS_AS(r.destination(require_reference("ok.example/team/a")), Error);
  CHECK_THROWS_AS(r.destination(require_reference("x/a")), Error);
  CHECK(r.destination(require_reference("ok.example/teams")).host == "ok.example");
  CHECK(r.endpoint("a.lan").insecure);
  CHECK_FALSE(r.endpoint("a.lan").tls.verify);
  CHECK_FALSE(r.endpoint("alan").insecure);
  CHECK(r.endpoint("h:5000").insecure);
  CHECK_FALSE(r.endpoint("h").insecure);
  CHECK(r.endpoint("h").tls.verify);
  CHECK(r.parallel == 3);
  CHECK(r.limits.stall == 7);
}

TEST_CASE("registries: slips name file and line") {
  for (const std::string bad :
       {"\nmirrors a b", "\nmirror a", "\nparallel 0", "\nparallel x", "\nstall -1",
        "\nrewrite a//b c", "\nrewrite a:1/x:2 b.c/d", "\ninsecure a b"}) {
    CAPTURE(bad);
    try {
      read(bad);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.message().starts_with("conf:2: "));
    }
  }
}
