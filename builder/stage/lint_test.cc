#include "builder/stage/lint.hh"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "builder/stage/test_inputs.hh"

using namespace kiln;
using namespace kiln::stage;

namespace {

// "RULE LINE[text below the carets]" of each finding; NoUser only where it is asked for, because
// most examples have no USER.
std::vector<std::string> findings(const std::string& text, bool with_user = false,
                                  const std::vector<std::string>& ignored = {},
                                  const BaseConfig& base = {}) {
  const auto file = dockerfile::parse_dockerfile({"Dockerfile", text});
  const dockerfile::IgnoreMatcher ignore(ignored);
  std::vector<std::string> found;
  for (const Finding& finding : lint(file, amd64(), base, &ignore).findings) {
    if (finding.rule->name == "NoUser" && !with_user) continue;
    found.push_back(
        std::string(finding.rule->name) + " " + std::to_string(finding.range.first_line) + "[" +
        text.substr(finding.range.begin, finding.range.end - finding.range.begin) + "]");
  }
  return found;
}

using Found = std::vector<std::string>;

}  // namespace

TEST_CASE("a good Dockerfile has no findings") {
  CHECK(findings("# syntax=docker/dockerfile:1\nARG V=12\nFROM --platform=$BUILDPLATFORM debian:$V "
                 "AS build\nARG MODE=fast\nWORKDIR /src\nCOPY . .\nRUN apt-get update && apt-get "
                 "install -y make\nRUN <<EOF\nset -eu\nmake\nmake $MODE\nEOF\n"
                 "FROM scratch\nCOPY --from=build /src/app /app\nADD data.tar.gz https://x/y /d/\n"
                 "USER 1000\nEXPOSE 80 90/udp\nENTRYPOINT [\"/app\"]\nCMD [\"-v\"]\n",
                 true) == Found{});
}

TEST_CASE("names and case") {
  CHECK(findings("FROM a:1 as Web\n") == Found{"FromAsCasing 1[as Web]", "StageNameCasing 1[Web]"});
  CHECK(findings("from a:1 as web\ncopy a b\nRun x\n") ==
        Found{"ConsistentInstructionCasing 3[Run]"});
  CHECK(findings("FROM a:1 AS x\nFROM x AS scratch\nFROM scratch AS x\n") ==
        Found{"ReservedStageName 2[FROM x AS scratch]", "DuplicateStageName 3[FROM scratch AS x]"});
  CHECK(findings("FROM scratch AS a\nFROM scratch AS b\n") ==
        Found{"UnreachableStage 1[FROM scratch AS a]"});
}

TEST_CASE("bases") {
  CHECK(findings("FROM debian\n") == Found{"UntaggedBase 1[debian]"});
  CHECK(findings("FROM host:5000/a/b\n") == Found{"UntaggedBase 1[host:5000/a/b]"});
  CHECK(findings("FROM a:1\nCOPY --from=b:latest /x /y\n") == Found{"UntaggedBase 2[b:latest]"});
  CHECK(findings("FROM a@sha256:00\n") == Found{});
  CHECK(findings("FROM scratch\n") == Found{});
  CHECK(findings("ARG T\nFROM a:${T}\n") == Found{"InvalidDefaultArgInFrom 2[a:${T}]"});
  CHECK(findings("ARG T\nFROM a:1${T}\n") == Found{});
  CHECK(findings("ARG T\nFROM a:${T:-3}\n") == Found{});
  CHECK(findings("ARG TAG=1\nFROM a:1$TGA\n") == Found{"UndefinedArgInFrom 2[TGA]"});
  CHECK(findings("FROM --platform=${TARGETPLATFORM} a:1\n") ==
        Found{"RedundantTargetPlatform 1[${TARGETPLATFORM}]"});
  CHECK(findings("FROM --platform=linux/arm64 a:1\n") ==
        Found{"FromPlatformFlagConstDisallowed 1[--platform=linux/arm64]"});
  CHECK(findings("FROM --platform=linux/arm64 a:1 AS b-arm64\n") == Found{});
  const auto arm = [](const Origin&) {
    oci::ImageConfig config;
    config.os = "linux";
    config.architecture = "arm64";
    return std::optional(config);
  };
  CHECK(findings("FROM a:1\n", false, {}, arm) == Found{"InvalidBaseImagePlatform 1[a:1]"});
}

TEST_CASE("variables") {
  CHECK(findings("FROM scratch\nENV a=$b c=${d:-x} e=\\$f\n") ==
        Found{"UndefinedVar 2[$b]", "UndefinedVar 2[${d]"});
  CHECK(findings("FROM scratch\nARG b\nENV a=$b\nWORKDIR /$PATH\n") == Found{});
  // A stage that the target does not need is looked at with its base as well.
  const auto known = [](const Origin&) { return std::optional(oci::ImageConfig{}); };
  CHECK(findings("FROM a:1 AS unused\nENV a=$b\nFROM a:1\n", false, {}, known) ==
        Found{"UnreachableStage 1[FROM a:1 AS unused]", "UndefinedVar 2[$b]"});
  CHECK(findings("ARG t\nFROM a:${t:-1}${u:-2}\n") == Found{"UndefinedArgInFrom 2[u]"});
  // The base's variables are unknown here: only what looks like a slip is reported.
  CHECK(findings("FROM a:1\nENV NODE_HOME=/n\nWORKDIR $JAVA_HOME\nCOPY a ${NODE_HOEM}/\n") ==
        Found{"UndefinedVar 4[${NODE_HOEM]"});
  CHECK(findings("FROM scratch\nENV DB_PASSWORD=x KEY_FILE=y MONKEY=z\nARG token\n") ==
        Found{"SecretsUsedInArgOrEnv 2[DB_PASSWORD]", "SecretsUsedInArgOrEnv 3[token]"});
  CHECK(findings("FROM scratch\nENV a b\nLABEL c d\n") ==
        Found{"LegacyKeyValueFormat 2[a]", "LegacyKeyValueFormat 3[c]"});
}

TEST_CASE("commands") {
  CHECK(findings("FROM scratch\nCMD a\nCMD [\"b\"]\n") ==
        Found{"JSONArgsRecommended 2[CMD a]", "MultipleInstructionsDisallowed 2[CMD a]"});
  CHECK(findings("FROM scratch\nSHELL [\"bash\", \"-c\"]\nENTRYPOINT a\n") == Found{});
  CHECK(findings("FROM scratch\nHEALTHCHECK NONE\nHEALTHCHECK CMD x\n").size() == 1);
  CHECK(findings("FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]\n") == Found{});
  CHECK(findings("FROM scratch\nRUN apt-get update\nRUN cd /x\nRUN cd /x && make\n") ==
        Found{"PackageListAlone 2[RUN apt-get update]", "CdWithoutEffect 3[RUN cd /x]"});
  const std::string body = "one\ntwo\nEOF\n";
  CHECK(findings("FROM scratch\nRUN <<EOF\n" + body) ==
        Found{"HeredocWithoutErrexit 2[RUN <<EOF]"});
  CHECK(findings("FROM scratch\nRUN <<EOF\nset -xe\n" + body) == Found{});
  CHECK(findings("FROM scratch\nRUN <<EOF\nset -o errexit\n" + body) == Found{});
  CHECK(findings("FROM scratch\nRUN <<EOF\n#!/bin/python\n" + body) == Found{});
  CHECK(findings("FROM scratch\nRUN <<EOF cat\n" + body) == Found{});
  CHECK(findings("FROM scratch\nRUN <<EOF\none\nEOF\n") == Found{});
  CHECK(findings("FROM scratch\nSHELL [\"bash\", \"-ec\"]\nRUN <<EOF\n" + body) == Found{});
}

TEST_CASE("paths and ports") {
  CHECK(findings("FROM scratch AS a\nWORKDIR x\nWORKDIR y\nFROM a\nWORKDIR z\n") ==
        Found{"WorkdirRelativePath 2[x]"});
  // What it is once expanded counts, unless that depends on a base that is unknown.
  CHECK(findings("FROM scratch\nWORKDIR \"/x y\"\n") == Found{});
  CHECK(findings("FROM scratch\nARG d=rel\nWORKDIR $d/y\n") ==
        Found{"WorkdirRelativePath 3[$d/y]"});
  CHECK(findings("FROM scratch\nARG d=/abs\nWORKDIR ${d}/y\n") == Found{});
  CHECK(findings("FROM a:1\nWORKDIR $APP_HOME/y\n") == Found{});
  CHECK(findings("FROM scratch\nEXPOSE 80/TCP 1.2.3.4:80:80\n") ==
        Found{"ExposeProtoCasing 2[80/TCP]", "ExposeInvalidFormat 2[1.2.3.4:80:80]"});
  CHECK(findings("FROM scratch\nCOPY ./a.log b *.log /x/\n", false, {"*.log"}) ==
        Found{"CopyIgnoredFile 2[./a.log]", "CopyIgnoredFile 2[*.log]"});
  CHECK(findings("FROM scratch\nCOPY dir /x/\n", false, {"*", "!dir/a"}) == Found{});
  CHECK(findings("FROM scratch\nCOPY . /x/\n", false, {"**"}) == Found{"CopyIgnoredFile 2[.]"});
  CHECK(findings("FROM scratch AS a\nFROM scratch\nCOPY --from=a x.log /\n", false, {"*.log"}) ==
        Found{});
  CHECK(findings("FROM scratch\nADD a /\nADD https://x/a /\nADD a.tar.xz /\n") ==
        Found{"AddForLocalFile 2[ADD a /]"});
}

TEST_CASE("users") {
  CHECK(findings("FROM a:1\n", true) == Found{"NoUser 1[FROM a:1]"});
  CHECK(findings("FROM a:1\nUSER 0:0\n", true).size() == 1);
  CHECK(findings("FROM a:1 AS b\nUSER x\nFROM b\n", true) == Found{});
  const auto with_user = [](const Origin&) {
    oci::ImageConfig config;
    config.config.user = "app";
    return std::optional(config);
  };
  CHECK(findings("FROM a:1\n", true, {}, with_user) == Found{});
}

TEST_CASE("old things") {
  CHECK(findings("FROM scratch\nMAINTAINER x\n") == Found{"MaintainerDeprecated 2[MAINTAINER x]"});
  CHECK(findings("FROM scratch\nRUN a \\\n\n b\n") == Found{"NoEmptyContinuation 4[b]"});
  CHECK(findings("# syntax=tonistiigi/other\nFROM scratch\n").size() == 1);
}

TEST_CASE("leaving rules out") {
  const std::string text = "FROM debian\nMAINTAINER x\nENV a b\n";
  CHECK(findings(text).size() == 3);
  CHECK(findings("# check=skip=UntaggedBase,MaintainerDeprecated\n" + text).size() == 1);
  CHECK(findings("# check=skip=all\n" + text).empty());
  CHECK(findings("FROM a:1\n# check=skip=LegacyKeyValueFormat\nENV a b\nENV c d\n") ==
        Found{"LegacyKeyValueFormat 4[c]"});
  const std::string described = "\n# wrong words\nARG x\nFROM a:1\n";
  CHECK(findings(described).empty());
  CHECK(findings("# check=experimental=all\n" + described) ==
        Found{"InvalidDefinitionDescription 4[ARG x]"});
  CHECK(
      findings("# check=experimental=InvalidDefinitionDescription\n\n# x words\nARG x\nFROM a:1\n")
          .empty());
  CHECK(parse_lint_options("skip=A, B ;error=TRUE").skip.contains("B"));
  CHECK_THROWS_AS(parse_lint_options("skipp=A"), Error);
  CHECK_THROWS_AS(findings("# check=error=perhaps\nFROM a:1\n"), dockerfile::DockerfileError);
}

TEST_CASE("reports") {
  const auto file = dockerfile::parse_dockerfile({"dir/Dockerfile",
                                                  "# check=error=true\nFROM scratch\nENV  a b\n"
                                                  "USER u\n"});
  const LintResult result = lint(file, amd64(), {}, nullptr);
  CHECK(result.error);
  CHECK(lint_text(file.source, result) ==
        "dir/Dockerfile:3: LegacyKeyValueFormat: old form of ENV without '='\n"
        "  3 | ENV  a b\n    |      ^\n"
        "  Write NAME=value; the form with a blank allows one pair only.\n\n");
  const auto json = nlohmann::json::parse(lint_json(file.source, result));
  CHECK(json["error"] == true);
  CHECK(json["findings"][0]["rule"] == "LegacyKeyValueFormat");
  CHECK(json["findings"][0]["range"]["start"] == nlohmann::json{{"line", 3}, {"column", 6}});
  CHECK(json["findings"][0]["range"]["end"] == nlohmann::json{{"line", 3}, {"column", 7}});
}

TEST_CASE("every rule is named once") {
  std::set<std::string_view> names;
  for (const Rule& rule : lint_rules()) {
    CHECK(names.insert(rule.name).second);
    CHECK_FALSE(rule.advice.empty());
  }
}
