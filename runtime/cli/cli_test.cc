#include <doctest/doctest.h>

#include <set>

#include "runtime/cli/help.hh"
#include "runtime/cli/verbs.hh"
#include "runtime/cli/version.hh"

using namespace vessel::cli;

TEST_CASE("options in every spelling that callers use") {
  const auto options = find_verb("create")->options;
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--bundle", "B", "--no-pivot", "c1"},
        {"--bundle=B", "--no-pivot=true", "c1"},
        {"-bundle", "B", "-no-pivot", "c1"},
        {"-b", "B", "c1", "--no-pivot"},
        {"-b=B", "--no-pivot", "--", "c1"}}) {
    Arguments a = Arguments::parse(words, options, false);
    CHECK(a.value("bundle") == "B");
    CHECK(a.flag("no-pivot"));
    CHECK(a.operands() == std::vector<std::string>{"c1"});
  }
}

TEST_CASE("options of the program inside stay its own") {
  const auto options = find_verb("exec")->options;
  Arguments a = Arguments::parse({"-e", "A=1", "--env", "B=2", "c1", "ls", "-l", "--env", "x"},
                                 options, true);
  CHECK(a.values("env") == std::vector<std::string>{"A=1", "B=2"});
  CHECK(a.operands() == std::vector<std::string>{"c1", "ls", "-l", "--env", "x"});
}

TEST_CASE("a lone dash is a value") {
  const auto options = find_verb("update")->options;
  CHECK(Arguments::parse({"--resources", "-", "c"}, options, false).value("resources") == "-");
  CHECK(Arguments::parse({"--resources=-", "c"}, options, false).value("resources") == "-");
  CHECK(Arguments::parse({"-r", "-", "c"}, options, false).operands().size() == 1);
}

TEST_CASE("what is wrong with a command line is said as runc says it") {
  const auto options = find_verb("create")->options;
  CHECK_THROWS_WITH_AS(Arguments::parse({"--nope"}, options, false),
                       "flag provided but not defined: -nope", UsageError);
  CHECK_THROWS_WITH_AS(Arguments::parse({"--bundle"}, options, false),
                       "flag needs an argument: -bundle", UsageError);
  CHECK_THROWS_AS(Arguments::parse({"--no-pivot=maybe"}, options, false), UsageError);
  Arguments a = Arguments::parse({"--preserve-fds", "3x", "c"}, options, false);
  CHECK_THROWS_AS(count_of(a, "preserve-fds"), UsageError);
}

TEST_CASE("every verb and option has a help text, and no name comes twice") {
  std::set<std::string_view> names;
  for (const Verb& verb : verbs()) {
    CHECK(names.insert(verb.name).second);
    REQUIRE(find_verb(verb.name));
    CHECK(find_verb(verb.name)->name == verb.name);
    CHECK(static_cast<bool>(verb.run));
    std::set<std::string_view> options;
    std::set<char> shorts;
    for (const Option& o : verb.options) {
      CHECK(options.insert(o.name).second);
      CHECK_FALSE(o.help.empty());
      if (o.short_name) CHECK(shorts.insert(o.short_name).second);
    }
    if (!verb.hidden) {
      CHECK(program_help().find(std::string(verb.name)) != std::string::npos);
      CHECK(verb_help(verb).find("--help") != std::string::npos);
    }
  }
}

TEST_CASE("completions name every verb but the unsupported ones") {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    std::string script = completion_script(shell);
    CHECK(script.find("update") != std::string::npos);
    CHECK(script.find("pid-file") != std::string::npos);
    CHECK(script.find("checkpoint") == std::string::npos);
  }
  CHECK_THROWS(completion_script("tcsh"));
}

TEST_CASE("the version serves go-runc and people") {
  std::string text = version_text();
  CHECK(text.starts_with("runc version "));
  CHECK(text.find("\ncommit: ") != std::string::npos);
  CHECK(text.find("\nspec: 1.3.0\n") != std::string::npos);
}
