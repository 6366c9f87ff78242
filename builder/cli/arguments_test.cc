#include <doctest/doctest.h>

#include <set>

#include "builder/cli/output.hh"
#include "builder/cli/verbs.hh"

using namespace kiln::cli;

namespace {

constexpr Option options[] = {
    {.letter = 'e', .name = "env", .argument = "NAME=VALUE", .help = "set", .repeated = true},
    {.letter = 'q', .name = "quiet", .help = "less"},
    {.letter = 't', .name = "tty", .help = "terminal"},
    {.name = "progress",
     .argument = "KIND",
     .help = "how",
     .initial = "auto",
     .choices = "auto|plain"},
};
constexpr Verb verb{.name = "try",
                    .operands = "IMAGE [ARG...]",
                    .summary = "x",
                    .options = options,
                    .least = 1,
                    .most = 3};
constexpr Verb runner{.name = "run",
                      .operands = "IMAGE [ARG...]",
                      .summary = "x",
                      .options = options,
                      .least = 1,
                      .stop_at_operand = true};

Arguments read(const Verb& v, std::vector<std::string> words) {
  return parse(v, global_options(), words);
}

}  // namespace

TEST_CASE("options: every spelling") {
  const auto a = read(verb, {"--env", "A=1", "--env=B=2", "-eC=3", "-e", "D=4", "-qt", "image"});
  CHECK(a.values("env") == std::vector<std::string>{"A=1", "B=2", "C=3", "D=4"});
  CHECK(a.has("quiet"));
  CHECK(a.has("tty"));
  CHECK(a.operands() == std::vector<std::string>{"image"});
  CHECK(a.text("progress") == "auto");
  CHECK_FALSE(a.has("progress"));
  CHECK_FALSE(read(verb, {"-q", "--quiet=false", "i"}).has("quiet"));
  CHECK(read(verb, {"i", "--store", "/s"}).text("store") == "/s");
  CHECK(read(verb, {"-"}).operands()[0] == "-");
}

TEST_CASE("options: refused") {
  CHECK_THROWS_AS(read(verb, {"--enw", "A", "i"}), UsageError);
  CHECK_THROWS_WITH(read(verb, {"--qiuet", "i"}),
                    "unknown option --qiuet, did you mean --quiet?; see 'kiln try --help'");
  CHECK_THROWS_AS(read(verb, {"i", "--env"}), UsageError);
  CHECK_THROWS_AS(read(verb, {"-x", "i"}), UsageError);
  CHECK_THROWS_AS(read(verb, {"--quiet=maybe", "i"}), UsageError);
  CHECK_THROWS_AS(read(verb, {"--progress=fancy", "i"}), UsageError);
  CHECK_THROWS_AS(read(verb, {"--progress=plain", "--progress=auto", "i"}), UsageError);
  CHECK_THROWS_AS(read(verb, {}), UsageError);
  CHECK_THROWS_AS(read(verb, {"a", "b", "c", "d"}), UsageError);
  CHECK_THROWS_AS(read(verb, {"i"}).has("nonsense"), std::logic_error);
}

TEST_CASE("options: where they end") {
  const auto a = read(verb, {"i", "--", "--env", "x"});
  CHECK(a.operands() == std::vector<std::string>{"i", "--env", "x"});
  CHECK(a.after_dashes().size() == 2);
  const auto b = read(runner, {"-q", "i", "sh", "-e", "--quiet"});
  CHECK(b.operands() == std::vector<std::string>{"i", "sh", "-e", "--quiet"});
  CHECK(b.after_dashes().empty());
  CHECK(b.values("env").empty());
}

TEST_CASE("numbers and sizes are strict") {
  CHECK(parse_number("42", "--n") == 42);
  for (const char* bad : {"", " 1", "1 ", "+1", "0x10", "1e3", "99999999999999999999"})
    CHECK_THROWS_AS(parse_number(bad, "--n"), UsageError);
  CHECK_THROWS_AS(parse_number("-1", "--n", 0), UsageError);
  CHECK(parse_size("512m", "--memory") == 512 << 20);
  CHECK(parse_size("1.5k", "--memory") == 1536);
  CHECK(parse_size("10", "--memory") == 10);
  CHECK(parse_size("2GiB", "--memory") == int64_t{2} << 30);
  CHECK(parse_size("3b", "--memory") == 3);
  for (const char* bad : {"", "m", "1mm", "1x", "-1", "nan", "inf", "1 m", "1e3"})
    CHECK_THROWS_AS(parse_size(bad, "--memory"), UsageError);
}

TEST_CASE("tables: every verb is explained on one screen and declares each option once") {
  for (const Verb* v : verbs()) {
    CAPTURE(v->name);
    CHECK((v->run != nullptr));
    CHECK_FALSE(v->summary.empty());
    CHECK_FALSE(v->examples.empty());
    std::set<std::string_view> names;
    std::set<char> letters;
    for (const Option& o : global_options()) {
      names.insert(o.name);
      if (o.letter) letters.insert(o.letter);
    }
    for (const Option& o : v->options) {
      CAPTURE(o.name);
      CHECK(names.insert(o.name).second);
      if (o.letter && o.letter != 'h') CHECK(letters.insert(o.letter).second);
      CHECK_FALSE(o.help.empty());
      CHECK((o.choices.empty() || !o.argument.empty()));
    }
    const std::string text = usage(*v, global_options());
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      CHECK(end - at <= 80);
      at = end + 1;
    }
  }
}

TEST_CASE("misspelt words find their neighbour") {
  const std::vector<std::string_view> names{"build", "images", "inspect", "history"};
  CHECK(nearest("biuld", names) == "build");
  CHECK(nearest("image", names) == "images");
  CHECK(nearest("hist", names) == "history");
  CHECK(nearest("zzz", names).empty());
}

TEST_CASE("foreign text cannot steer a terminal") {
  CHECK(printable("a\x1b[31mb\n") == "a\\x1b[31mb\\x0a");
  CHECK(printable("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");
  CHECK(printable("\xc2\x9b"
                  "x") == "\\xc2\\x9bx");
  CHECK(printable("\xff\xc0\x80") == "\\xff\\xc0\\x80");
  CHECK(columns({{"A", "B"}, {"long", "x"}}) == "A      B\nlong   x\n");
  CHECK(human_size(999) == "999B");
  CHECK(human_size(1234) == "1.23kB");
  CHECK(human_size(12345678) == "12.3MB");
  CHECK(human_age(100, 100) == "just now");
  CHECK(human_age(0, 7200) == "2 hours ago");
  CHECK(short_id("sha256:0123456789abcdef") == "0123456789ab");
}
