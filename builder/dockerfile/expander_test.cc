#include "builder/dockerfile/expander.hh"

#include <doctest/doctest.h>

#include <map>

#include "builder/sys/error.hh"

using namespace kiln;
using namespace kiln::dockerfile;

namespace {

const std::map<std::string, std::string, std::less<>> variables = {
    {"dir", "/usr/lib"}, {"file", "archive.tar.gz"}, {"empty", ""},    {"two", "a  b"},
    {"ünï", "umlaut"},   {"lines", "one\ntwo"},      {"stars", "a*b"}, {"money", "$5"},
    {"word", "ÄbcÄbc"},
};

std::optional<std::string> lookup(std::string_view name) {
  const auto found = variables.find(name);
  if (found == variables.end()) return std::nullopt;
  return found->second;
}

std::string expanded(std::string_view word, const ExpandOptions& options = {}) {
  try {
    return expand_word(word, lookup, options).text;
  } catch (const Error& error) {
    const std::string& message = error.message();
    return "error: " + message.substr(message.rfind("\": ") + 3);
  }
}

struct Row {
  const char* word;
  const char* want;
};

void check(const std::vector<Row>& rows, const ExpandOptions& options = {}) {
  for (const Row& row : rows) {
    CAPTURE(row.word);
    CHECK(expanded(row.word, options) == row.want);
  }
}

}  // namespace

TEST_CASE("variables") {
  check({{"$dir/x", "/usr/lib/x"},
         {"${dir}x", "/usr/libx"},
         {"$dirx", ""},
         {"a$", "a$"},
         {"a$/b", "a$/b"},
         {"$ünï.", "umlaut."},
         {"$1a$@b", "ab"},
         {"$12x", "x"},
         {"${12}x", "x"},
         {"${dir", "error: syntax error: missing '}'"},
         {"${", "error: syntax error: missing '}'"},
         {"${}", "error: syntax error: bad substitution"},
         {"${:a}", "error: syntax error: bad substitution"},
         {"${dir!x}", "error: unsupported modifier (!) in substitution"},
         {"${dir:x}", "error: unsupported modifier (:x) in substitution"}});
}

TEST_CASE("defaults and demands") {
  check({{"${none:-d}", "d"},
         {"${empty:-d}", "d"},
         {"${empty-d}", ""},
         {"${none-d}", "d"},
         {"${dir-d}", "/usr/lib"},
         {"${dir:+d}", "d"},
         {"${empty:+d}", ""},
         {"${empty+d}", "d"},
         {"${none+d}", ""},
         {"${none:-${empty:-$dir}}", "/usr/lib"},
         {"${none:-a b}", "a b"},
         {"${none:-\"a}\"}", "a}"},
         {"${none:-a\\}b}", "a}b"},
         {"${none:?gone $dir}", "error: none: gone /usr/lib"},
         {"${none?}", "error: none: is not allowed to be unset"},
         {"${empty:?}", "error: empty: is not allowed to be empty"},
         {"${empty?}", ""},
         {"${dir:?x}", "/usr/lib"},
         {"${dir:#x}", "error: unsupported modifier (:#) in substitution"}});
}

TEST_CASE("patterns") {
  check({{"${file#*.}", "tar.gz"},
         {"${file##*.}", "gz"},
         {"${file%.*}", "archive.tar"},
         {"${file%%.*}", "archive"},
         {"${file%x*}", "archive.tar.gz"},
         {"${file#arch}", "ive.tar.gz"},
         {"${file#rch}", "archive.tar.gz"},
         {"${dir##*/}", "lib"},
         {"${dir%/*}", "/usr"},
         {"${dir/\\//-}", "-usr/lib"},
         {"${dir//\\//-}", "-usr-lib"},
         {"${file/a*e/X}", "X.tar.gz"},
         {"${file/?r/X}", "Xchive.tar.gz"},
         {"${file//?r/_}", "_chive.t_.gz"},
         {"${file//a/}", "rchive.tr.gz"},
         {"${word//b/-}", "Ä-cÄ-c"},
         {"${word#?}", "bcÄbc"},
         {"${word%?}", "ÄbcÄb"},
         {"${stars/\\*/+}", "a+b"},
         {"${stars#a\\*}", "b"},
         {"${lines#*e}", "\ntwo"},
         {"${lines##*o}", "ne\ntwo"},  // `*` stops at a newline
         {"${none/a/b}", ""},
         {"${dir/x}", "error: syntax error: missing '/' in ${}"},
         {"${dir/x/y", "error: syntax error: missing '}'"},
         {"${dir#\\x}", "error: invalid pattern (\\x) in substitution: invalid escape '\\x'"}});
}

TEST_CASE("a pattern of many stars takes no time") {
  const auto long_value = [](std::string_view) {
    return std::optional<std::string>(std::string(4000, 'a'));
  };
  CHECK(expand_word("${v#*a*a*a*a*a*a*a*a*a*a*b}", long_value).text.size() == 4000);
}

TEST_CASE("quotes and escapes") {
  check({{"a'b c'd", "ab cd"},
         {"'$dir'", "$dir"},
         {"\"$dir'\"", "/usr/lib'"},
         {"\\$dir", "$dir"},
         {"\\a\\\\b", "a\\b"},
         {"\"\\a\\\"\\$\"", "\\a\"$"},
         {"'\\'", "\\"},
         {"x\\", "x"},
         {"'x", "error: unexpected end of statement while looking for matching single-quote"},
         {"\"x", "error: unexpected end of statement while looking for matching double-quote"}});
  check({{"`$dir\\x", "$dir\\x"}, {"\"``\"", "`"}}, {.escape = '`'});
  check({{"'a' \"$dir\"", "'a' \"/usr/lib\""}}, {.raw_quotes = true});
  check({{"\\$dir", "\\$dir"}}, {.raw_escapes = true});
  check({{"it's $dir \"", "it's /usr/lib \""}, {"\\$dir", "$dir"}}, {.keep_quotes = true});
  check({{"$no ${no} ${no:-$dir} ${no#a} $dir", "$no ${no} ${no:-/usr/lib} ${no#a} /usr/lib"}},
        {.keep_unset = true});
}

TEST_CASE("bytes that are no UTF-8 go through") {
  CHECK(expanded("a\xff$dir\xc3") == "a\xff/usr/lib\xc3");
}

TEST_CASE("nesting has an end") {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "${none:-";
  CHECK(expanded(deep) == "error: syntax error: ${} nested too deeply");
}

TEST_CASE("words") {
  using Words = std::vector<std::string>;
  const auto words = [](std::string_view text) { return expand_word(text, lookup).words; };
  CHECK(words("80 $two") == Words{"80", "a", "b"});
  CHECK(words("\"$two\" c") == Words{"a  b", "c"});
  CHECK(words("8${none:-0}/tcp") == Words{"80/tcp"});
  CHECK(words("a\\ b") == Words{"a b"});
  CHECK(words("  ") == Words{});
  CHECK(words("x$empty'' y") == Words{"x", "y"});
}

TEST_CASE("which variables were asked for") {
  const Expanded result = expand_word("$dir $no ${maybe:-x} ${lost%a}", lookup);
  CHECK(result.matched == std::set<std::string>{"dir"});
  CHECK(result.unmatched == std::set<std::string>{"lost", "maybe", "no"});
}
