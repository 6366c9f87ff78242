#include "builder/stage/lint.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/quantity.hh"
#include "builder/stage/lint_collector.hh"

namespace kiln::stage {

const std::vector<Rule>& lint_rules() {
  static const std::vector<Rule> rules = {
      {"StageNameCasing", "Write stage names in lower case: they are compared that way."},
      {"FromAsCasing", "Write 'as' in the case of its 'from'."},
      {"NoEmptyContinuation",
       "Remove the blank line, or make it a comment: one day it will end the instruction."},
      {"ConsistentInstructionCasing", "Write all instructions in the same case."},
      {"DuplicateStageName", "Give each stage a name of its own: only the last one can be found."},
      {"ReservedStageName", "Choose another name: scratch and context have a meaning already."},
      {"JSONArgsRecommended",
       "Use the JSON form [\"program\", \"argument\"]: in shell form a shell runs as process 1 and "
       "stop signals do not reach the program."},
      {"MaintainerDeprecated", "Use LABEL org.opencontainers.image.authors=\"…\"."},
      {"UndefinedArgInFrom", "Declare it with ARG in front of the first FROM."},
      {"WorkdirRelativePath",
       "Set an absolute WORKDIR first: what a relative one means depends on the base image."},
      {"UndefinedVar", "Declare it with ARG or ENV above, or escape the dollar sign."},
      {"MultipleInstructionsDisallowed", "Remove it: only the last one of a stage counts."},
      {"LegacyKeyValueFormat", "Write NAME=value; the form with a blank allows one pair only."},
      {"InvalidBaseImagePlatform", "Choose a base for this platform, or build with --platform."},
      {"RedundantTargetPlatform", "Remove --platform: this is its default."},
      {"SecretsUsedInArgOrEnv",
       "Use RUN --mount=type=secret: arguments and variables stay readable in the image."},
      {"InvalidDefaultArgInFrom", "Give the ARG a default with which the build works."},
      {"FromPlatformFlagConstDisallowed",
       "Leave --platform out, or use $BUILDPLATFORM or $TARGETPLATFORM."},
      {"CopyIgnoredFile", "Copy something else, or take the pattern out of the ignore file."},
      {"InvalidDefinitionDescription",
       "Begin the comment with the name, or put a blank line below it.", true},
      {"ExposeProtoCasing", "Write the protocol in lower case."},
      {"ExposeInvalidFormat", "Name the container's port only; publishing is up to who runs it."},
      {"UntaggedBase", "Name a version, best with its digest: what 'latest' is changes every day."},
      {"NoUser", "End the stage with USER and an unprivileged user."},
      {"HeredocWithoutErrexit",
       "Begin it with `set -e`: without, only the last line's failure counts."},
      {"UnreachableStage",
       "Remove it, or build it with --target: the last stage does not need it."},
      {"AddForLocalFile", "Use COPY: ADD is for archives, URLs and git repositories."},
      {"PackageListAlone",
       "Update and install in one RUN: a cached package list makes later installs fail."},
      {"CdWithoutEffect", "Use WORKDIR: each RUN starts in the stage's working directory."},
      {"SyntaxIgnored", "kiln has its own frontend and builds what it knows of the language."},
  };
  return rules;
}

LintOptions parse_lint_options(std::string_view text) {
  LintOptions options;
  text = dockerfile::trim(text);
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    const std::string_view part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = part.find('=');
    const std::string key(dockerfile::trim(part.substr(0, equals)));
    std::string_view value =
        equals == std::string_view::npos ? "" : dockerfile::trim(part.substr(equals + 1));
    if (key == "error") {
      const auto parsed = dockerfile::parse_boolean(value);
      if (!parsed) throw Error("check option error: must be true or false");
      options.error = *parsed;
    } else if ((key == "skip" || key == "experimental") && !value.empty()) {
      const bool skip = key == "skip";
      if (value == "all") {
        (skip ? options.skip_all : options.experimental_all) = true;
        continue;
      }
      while (!value.empty()) {
        const size_t comma = std::min(value.find(','), value.size());
        (skip ? options.skip : options.experimental)
            .emplace(dockerfile::trim(value.substr(0, comma)));
        value.remove_prefix(std::min(comma + 1, value.size()));
      }
    } else {
      throw Error("invalid check option '" + std::string(dockerfile::trim(part)) +
                  "': must be skip=RULES, experimental=RULES or error=true");
    }
  }
  return options;
}

void LintCollector::add(std::string_view rule, const dockerfile::Instruction& instruction,
                        const std::string& message, std::string_view text) {
  for (const std::string& comment : instruction.comments) {
    if (!comment.starts_with("check=")) continue;
    try {
      const LintOptions own = parse_lint_options(std::string_view(comment).substr(6));
      if (own.skip_all || own.skip.contains(rule)) return;
    } catch (const Error&) {
      // A comment that only looks like options.
    }
  }
  dockerfile::SourceRange range = instruction.range;
  if (text.empty()) {
    // The first line is enough to point at.
    range = source_.lines(range.first_line, range.first_line);
  } else {
    range = source_.find(range, text);
  }
  add(rule, range, message);
}

void LintCollector::add(std::string_view name, const dockerfile::SourceRange& range,
                        const std::string& message) {
  const auto rule = std::ranges::find(lint_rules(), name, &Rule::name);
  const bool on = rule->experimental
                      ? options_.experimental_all || options_.experimental.contains(name)
                      : !options_.skip_all && !options_.skip.contains(name);
  if (on) findings_.push_back({&*rule, range, dockerfile::visible(message)});
}

LintResult LintCollector::take() {
  std::ranges::stable_sort(findings_, {}, [](const Finding& f) { return f.range.begin; });
  const bool error = options_.error && !findings_.empty();
  return {std::move(findings_), error};
}

LintResult lint(const dockerfile::Dockerfile& file, const Inputs& inputs,
                const BaseConfig& base_config, const dockerfile::IgnoreMatcher* ignore) {
  LintOptions options;
  if (const auto& check = file.directives.check) {
    try {
      options = parse_lint_options(check->value);
    } catch (const Error& error) {
      throw dockerfile::DockerfileError(file.source, check->range, error.message());
    }
  }
  LintCollector collector(file.source, std::move(options));
  Inputs every = inputs;
  every.every_base = true;  // unneeded stages are looked at like the others
  const Graph graph(file, every, base_config);
  lint_instructions(file, collector);
  lint_bases(file, graph, collector);
  lint_states(graph, ignore, collector);
  return collector.take();
}

std::string lint_text(const dockerfile::Source& source, const LintResult& result) {
  std::string text;
  for (const Finding& finding : result.findings) {
    text += source.position(finding.range);
    text.append(": ").append(finding.rule->name).append(": ").append(finding.message).append("\n");
    text.append(source.excerpt(finding.range)).append("\n  ");
    text.append(finding.rule->advice).append("\n\n");
  }
  return text;
}

std::string lint_json(const dockerfile::Source& source, const LintResult& result) {
  using Json = nlohmann::ordered_json;
  const auto place = [&](size_t offset, size_t line) {
    const size_t start = static_cast<size_t>(source.line(line).data() - source.text().data());
    return Json{{"line", line}, {"column", offset - std::min(offset, start) + 1}};
  };
  Json findings = Json::array();
  for (const Finding& finding : result.findings) {
    const dockerfile::SourceRange& range = finding.range;
    findings.push_back({{"rule", finding.rule->name},
                        {"message", finding.message},
                        {"advice", finding.rule->advice},
                        {"range",
                         {{"start", place(range.begin, range.first_line)},
                          {"end", place(range.end, range.last_line)}}}});
  }
  const Json document = {
      {"file", source.name()}, {"findings", std::move(findings)}, {"error", result.error}};
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace kiln::stage
