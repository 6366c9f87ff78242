#include "builder/dockerfile/tree.hh"

#include <doctest/doctest.h>

using namespace kiln;
using namespace kiln::dockerfile;

namespace {

Tree tree(std::string text) {
  return parse_tree({"Dockerfile", std::move(text)});
}
std::string dump(std::string text) {
  return tree_text(tree(std::move(text)));
}

std::string refusal(const std::string& text) {
  try {
    return dump(text);
  } catch (const DockerfileError& error) {
    return error.message();
  }
}

}  // namespace

TEST_CASE("each instruction reads its arguments its own way") {
  CHECK(dump("from  a:b   AS c") == "(from \"a:b\" \"AS\" \"c\")\n");
  CHECK(dump("RUN  echo  'a  b' ") == "(run \"echo  'a  b'\")\n");
  CHECK(dump("RUN [\"a\", \"b c\"]") == "(run \"a\" \"b c\")\n");
  CHECK(dump("RUN [ -f x ]") == "(run \"[ -f x ]\")\n");
  CHECK(dump("CMD ['a']") == "(cmd \"['a']\")\n");
  CHECK(dump("COPY --from=a --chown=\"b c\" x y") ==
        "(copy [\"--from=a\" \"--chown=b c\"] \"x\" \"y\")\n");
  CHECK(dump("COPY [\"a b\", \"c\"]") == "(copy \"a b\" \"c\")\n");
  CHECK(dump("RUN -- --x") == "(run \"--x\")\n");
  CHECK(dump("COPY --a=1 -- --x y") == "(copy [\"--a=1\"] \"--x\" \"y\")\n");
  CHECK(dump("ENV a b  c") == "(env \"a\" \"b  c\" \"\")\n");
  CHECK(dump("ENV a=1 b='x y' c=d\\ e") ==
        "(env \"a\" \"1\" \"=\" \"b\" \"'x y'\" \"=\" \"c\" \"d\\\\ e\" \"=\")\n");
  CHECK(dump("HEALTHCHECK --retries=3 CMD [\"x\"]") ==
        "(healthcheck [\"--retries=3\"] \"CMD\" \"x\")\n");
  CHECK(dump("ONBUILD COPY --link a b") == "(onbuild (copy [\"--link\"] \"a\" \"b\"))\n");
  CHECK(dump("NONSENSE a b") == "(nonsense \"\")\n");
  CHECK(dump("RUN t\xc3\xa9\t\x01") == "(run \"té\\t\\x01\")\n");
}

TEST_CASE("logical lines") {
  CHECK(dump("RUN a \\\n  b \\  \n# comment\n   # another\n c") == "(run \"a   b  c\")\n");
  CHECK(dump("RUN a\\\\\nCMD b") == "(run \"a\\\\\\\\\")\n(cmd \"b\")\n");
  CHECK(dump("RUN a \\\n\n\nb") == "(run \"a b\")\n");
  CHECK(dump("RUN a \\") == "(run \"a\")\n");
  CHECK(dump("  # c\r\nRUN a \\\r\n b\r\n") == "(run \"a  b\")\n");
  CHECK(dump("\xEF\xBB\xBFRUN a") == "(run \"a\")\n");
  CHECK(dump("# escape=`\nRUN a `\n b\\\nCMD c") == "(run \"a  b\\\\\")\n(cmd \"c\")\n");
  const Tree parsed = tree("FROM a\n\nRUN x \\\n\n  y\nCMD z\n");
  CHECK(parsed.nodes[1].range.first_line == 3);
  CHECK(parsed.nodes[1].range.last_line == 5);
  REQUIRE(parsed.empty_continuations.size() == 1);
  CHECK(parsed.empty_continuations[0].first_line == 5);
}

TEST_CASE("directives") {
  const Tree parsed = tree("#!/usr/bin/env x\n# Syntax = a/b:1 \n#check=skip=all\nFROM a");
  CHECK(parsed.directives.syntax->value == "a/b:1");
  CHECK(parsed.directives.check->value == "skip=all");
  CHECK(parsed.directives.check->range.first_line == 3);
  // A comment, a blank line or an instruction ends them.
  CHECK_FALSE(tree("# hello\n# escape=`\nFROM a").directives.escape.has_value());
  CHECK_FALSE(tree("\n# escape=`\nFROM a").directives.escape.has_value());
  CHECK(refusal("# escape=x\nFROM a") == "Dockerfile:1: invalid escape token 'x': must be ` or \\");
  CHECK(refusal("# check=a=b\n# check=c=d\nFROM a") ==
        "Dockerfile:2: only one check parser directive can be used");
}

TEST_CASE("comments describe what stands right below") {
  const Tree parsed = tree("# escape=`\n# old\n\n# name text\n# more\nFROM a\nRUN b\n");
  CHECK(parsed.nodes[0].comments == std::vector<std::string>{"name text", "more"});
  CHECK(parsed.nodes[1].comments.empty());
}

TEST_CASE("heredocs") {
  const Tree parsed = tree(
      "RUN 3<<A cat <<-'B C' <<\"\"D\n$a\nA\n\tb\n# no comment\n\tB C\nd\r\nD\nCMD x <<E\n"
      "ONBUILD COPY <<F /f\nf\nF\n");
  REQUIRE(parsed.nodes.size() == 3);
  const auto& docs = parsed.nodes[0].heredocs;
  REQUIRE(docs.size() == 3);
  CHECK(docs[0] == Heredoc{"A", 3, true, false, "$a\n"});
  CHECK(docs[1] == Heredoc{"B C", 0, false, true, "\tb\n# no comment\n"});
  CHECK(docs[2] == Heredoc{"D", 0, false, false, "d\r\n"});
  CHECK(parsed.nodes[0].range.last_line == 8);
  CHECK(parsed.nodes[1].heredocs.empty());
  CHECK(parsed.nodes[2].heredocs[0].content == "f\n");
  CHECK(tree("RUN echo '<<X' <<<Y $((1<<2))").nodes[0].heredocs.size() == 0);
  CHECK(tree("RUN [\"<<X\"]").nodes[0].heredocs.empty());
  CHECK(chomp_tabs("\t\ta\n\tb\tc\n d") == "a\nb\tc\n d");
}

TEST_CASE("what a tree refuses") {
  CHECK(refusal("") == "Dockerfile:1: no instructions: a Dockerfile begins with FROM");
  CHECK(refusal("# a\n\n") == "Dockerfile:1: no instructions: a Dockerfile begins with FROM");
  CHECK(refusal("FROM a\nENV x\n") == "Dockerfile:2: ENV needs a name and a value, as NAME=VALUE");
  CHECK(refusal("LABEL a=b c\n").contains("can't find = in \"c\""));
  std::string chain = "FROM a\n";
  for (int i = 0; i < 200000; ++i) chain += "ONBUILD ";
  CHECK(refusal(chain + "RUN x") == "Dockerfile:2: ONBUILD isn't allowed as an ONBUILD trigger");
  CHECK(refusal("CMD [\"a\", 1]\n").contains("comprised of strings only"));
  CHECK(refusal("FROM a\nRUN <<EOF\nx\n") ==
        "Dockerfile:2: unterminated heredoc: no line \"EOF\" follows");
}

TEST_CASE("errors show the line and a caret") {
  const Source source("F", "FROM a\n\tRUN  b\x1b[2J c\n");
  const DockerfileError error(source, source.find(source.lines(2, 2), "c"), "wrong", "better");
  CHECK(error.render() == "F:2: wrong\n  2 | \tRUN  b?[2J c\n    | \t           ^\nbetter");
  CHECK(source.position(source.range(3, 9)) == "F:1");
  CHECK(source.range(3, 9).last_line == 2);
  CHECK(source.line(9).empty());
}
