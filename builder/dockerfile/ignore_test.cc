#include "builder/dockerfile/ignore.hh"

#include <doctest/doctest.h>

#include "builder/sys/error.hh"

using namespace kiln;
using namespace kiln::dockerfile;

namespace {

using Patterns = std::vector<std::string>;

bool matches(const Patterns& patterns, std::string_view path) {
  return IgnoreMatcher(patterns).matches(path);
}

// The answer of a walk that hands each directory's result down.
bool walked(const IgnoreMatcher& matcher, const std::string& path) {
  IgnoreMatcher::Parent above;
  for (size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    IgnoreMatcher::Parent here;
    matcher.matches(path.substr(0, slash), above, here);
    above = here;
  }
  IgnoreMatcher::Parent unused;
  return matcher.matches(path, above, unused);
}

struct Row {
  Patterns patterns;
  const char* path;
  bool ignored;
};

}  // namespace

TEST_CASE("patterns, in order, with exceptions") {
  const std::vector<Row> rows = {
      {{"node_modules"}, "node_modules/a/b.js", true},
      {{"node_modules"}, "web/node_modules", false},
      {{"**/node_modules"}, "web/node_modules/a", true},
      {{"**/node_modules"}, "my_node_modules", false},
      {{"*.md", "!README.md"}, "README.md", false},
      {{"!README.md", "*.md"}, "README.md", true},
      {{"docs", "!docs/a", "docs/a/b"}, "docs/a/b", true},
      {{"docs", "!docs/a", "docs/a/b"}, "docs/a/c", false},
      {{"docs", "!docs/a", "docs/a/b"}, "docs/x", true},
      {{"*", "!src/**"}, "src/deep/x.c", false},
      {{"*", "!src/**"}, "src", true},
      {{"a?c"}, "a/c", false},
      {{"a?c"}, "aéc", true},
      {{"a[!x]c"}, "a!c", true},
      {{"a[^x]c"}, "ayc", true},
      {{"build*/out"}, "build-1/out/x", true},
      {{"build*/out"}, "build/1/out", false},
      {{"/abs"}, "/abs", true},
      {{"  spaced  "}, "spaced", true},
      {{"a/./b/../c/"}, "a/c", true},
      {{"a|b*"}, "ax", false},  // no alternatives: '|' is a character like others
      {{"a|b*"}, "a|bc", true},
      {{"x{2}*"}, "xx", false},
      {{"**"}, "any/thing", true},
      {{"dir/**"}, "dir", false},
      {{"dir/**"}, "dir/x/y", true},
      {{"**/*.o"}, "a/b/c.o", true},
      {{"**/*.o"}, "c.o", true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.patterns[0]);
    CAPTURE(row.path);
    CHECK(matches(row.patterns, row.path) == row.ignored);
    if (row.path[0] != '/') CHECK(walked(IgnoreMatcher(row.patterns), row.path) == row.ignored);
  }
}

TEST_CASE("malformed patterns") {
  for (const char* pattern : {"!", "[", "[a", "[]", "a\\", "[-a]", "[a-]", "[^]"}) {
    CAPTURE(pattern);
    CHECK_THROWS_AS(IgnoreMatcher({pattern}), Error);
  }
  CHECK_THROWS_AS(matches({"[z-a]*"}, "x"), Error);
  CHECK(matches({""}, "x") == false);
}

TEST_CASE("a long path and many wildcards take no time") {
  CHECK_FALSE(matches({"**/*a*a*a*a*a*a*a*a*b"}, std::string(3000, 'a')));
}

TEST_CASE("where a walk may stop") {
  const IgnoreMatcher matcher({"*", "!src/app", "!doc/*.md"});
  CHECK(matcher.may_hold_exception("src"));
  CHECK(matcher.may_hold_exception("src/app/deep"));
  CHECK(matcher.may_hold_exception("doc"));
  CHECK_FALSE(matcher.may_hold_exception("lib"));
  CHECK_FALSE(matcher.ignores_everything());
  CHECK(IgnoreMatcher({"**"}).ignores_everything());
  CHECK(IgnoreMatcher({"a", "!**/x"}).may_hold_exception("a"));
}

TEST_CASE("ignore files") {
  CHECK(read_ignore_file("\xEF\xBB\xBF# c\n\n /a/b/ \n!  /c\n#x\n !d\n./e\n/\n!\nlast") ==
        Patterns{"a/b", "!c", "!d", "e", "/", "!", "last"});
  CHECK(read_ignore_file("a\r\nb\r\n") == Patterns{"a", "b"});
  CHECK(clean_path("a//b/../../../c") == "../c");
  CHECK(clean_path("/../a/") == "/a");
  CHECK(clean_path("") == ".");
}
