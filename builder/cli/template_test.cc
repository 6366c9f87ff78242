#include "builder/cli/template.hh"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "builder/cli/time.hh"
#include "builder/cli/verb.hh"
#include "builder/steps/image_user.hh"

using namespace kiln;
using namespace kiln::cli;

TEST_CASE("--format: fields, json, index, text") {
  const nlohmann::ordered_json data = {
      {"Id", "x"}, {"Size", 7}, {"Config", {{"Env", {"A=1", "B=2"}}, {"Labels", {{"k", "v"}}}}}};
  CHECK(render("{{.Id}}:{{.Size}}", data) == "x:7");
  CHECK(render("{{ .Id }}\\t{{json .Config.Env}}", data) == "x\t[\"A=1\",\"B=2\"]");
  CHECK(render("{{.Config.Env}}", data) == "[A=1 B=2]");
  CHECK(render("{{index .Config.Env 1}}", data) == "B=2");
  CHECK(render("{{index .Config.Labels \"k\"}}", data) == "v");
  CHECK(render("{{index .Config.Labels \"none\"}}", data).empty());
  CHECK(render("json", {{"a", "\x1b"}}) == "{\"a\":\"\\u001b\"}");
  CHECK(json_text({{"a", "\xc2\x9b\x7fé"}}) == "{\"a\":\"\\u009b\\u007fé\"}");
  CHECK(render("{{.a}}", {{"a", "\x1b[0m"}}) == "\\x1b[0m");
  for (const char* bad : {"{{.None}}", "{{.Id", "{{}}", "{{range .Id}}", "{{Id}}",
                          "{{index .Config.Env 9}}", "{{index .Config.Env -1}}", "{{.Id.x}}"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(render(bad, data), UsageError);
  }
}

TEST_CASE("times of image documents") {
  CHECK(rfc3339(0) == "1970-01-01T00:00:00Z");
  CHECK(parse_rfc3339("1970-01-01T00:00:00Z") == 0);
  CHECK(parse_rfc3339("2021-11-12T17:20:08.442217528Z") == 1636737608);
  CHECK(parse_rfc3339("1970-01-01T01:00:00+01:00") == 0);
  CHECK(parse_rfc3339("1970-01-01T00:00:00-00:30") == 1800);
  for (const char* bad : {"", "now", "1970-01-01", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00x"})
    CHECK_FALSE(parse_rfc3339(bad).has_value());
}

TEST_CASE("the id that means no change is no user") {
  for (const char* bad : {"4294967295", "1:4294967295"})
    CHECK_THROWS_AS(look_up_user(bad, {}), Error);
  CHECK(look_up_user("4294967294", {}).uid == 4294967294u);
}
