#include "builder/steps/mode_change.hh"

#include <doctest/doctest.h>

namespace kiln {

TEST_CASE("ModeChange follows chmod(1)") {
  struct Row {
    const char* text;
    uint32_t before;
    bool directory;
    uint32_t after;
  };
  const Row rows[] = {
      {"755", 0600, false, 0755},
      {"0644", 0777, true, 0644},
      {"4755", 0, false, 04755},
      {"u=rwX,go=rX", 0600, false, 0644},
      {"u=rwX,go=rX", 0600, true, 0755},
      {"u=rwX,go=rX", 0700, false, 0755},
      {"a+x", 0644, false, 0755},
      {"+x", 0644, false, 0755},
      {"go-rwx", 0755, false, 0700},
      {"g=u", 0640, false, 0660},
      {"o=g", 0750, false, 0755},
      {"u+s", 0755, false, 04755},
      {"+t", 0777, true, 01777},
      {"u+rw-x", 0100, false, 0600},
      {"=", 0755, false, 0},
      {"go=", 0755, false, 0700},
      {"g+s,o-x", 0755, true, 02754},
  };
  for (const Row& r : rows) {
    CAPTURE(r.text);
    const auto change = ModeChange::parse(r.text);
    REQUIRE(change.has_value());
    CHECK(change->apply(r.before, r.directory) == r.after);
  }
}

TEST_CASE("ModeChange refuses what is no mode") {
  for (const char* text : {"", "8", "10000", "7777777777777", "u", "u=q", "rwx", "a+x,", ",a+x",
                           "u=gu", "0x1ff", "-755", "a+x b"})
    CHECK_FALSE(ModeChange::parse(text).has_value());
}

}  // namespace kiln
