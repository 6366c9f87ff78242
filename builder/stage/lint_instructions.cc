// Rules that look at one instruction's text, or at all of them together.
#include <algorithm>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/words.hh"
#include "builder/stage/lint_collector.hh"

namespace kiln::stage {

namespace {

using dockerfile::Instruction;
using dockerfile::lower;
using dockerfile::upper;

std::string in_quotes(std::string_view text) {
  std::string quoted("'");
  return quoted.append(text).append("'");
}

// FROM's words without flags: base, "as", name.
std::vector<std::string> from_words(const Instruction& from, char escape) {
  return dockerfile::split_blank(dockerfile::split_command(from.original, escape).arguments);
}

void lint_from(const Instruction& instruction, char escape, LintCollector& collector) {
  const std::vector<std::string> words = from_words(instruction, escape);
  if (words.size() != 3) return;
  const std::string& keyword = instruction.keyword;
  if (words[2] != lower(words[2])) {
    collector.add("StageNameCasing", instruction,
                  "stage name " + in_quotes(words[2]) + " should be lowercase", words[2]);
  }
  const bool is_lower = keyword == lower(keyword);
  const std::string right = is_lower ? lower(words[1]) : upper(words[1]);
  if ((is_lower || keyword == upper(keyword)) && words[1] != right) {
    collector.add("FromAsCasing", instruction,
                  in_quotes(words[1]) + " and " + in_quotes(keyword) + " differ in case",
                  words[1] + " " + words[2]);
  }
}

void lint_casing(const dockerfile::Dockerfile& file, LintCollector& collector) {
  int lower_count = 0;
  int upper_count = 0;
  for (const Instruction& instruction : file.instructions) {
    if (instruction.keyword == lower(instruction.keyword)) ++lower_count;
    if (instruction.keyword == upper(instruction.keyword)) ++upper_count;
  }
  const bool want_lower = lower_count > upper_count;
  for (const Instruction& instruction : file.instructions) {
    const std::string& keyword = instruction.keyword;
    if (keyword == (want_lower ? lower(keyword) : upper(keyword))) continue;
    collector.add("ConsistentInstructionCasing", instruction,
                  in_quotes(keyword) + " should be " + (want_lower ? "lowercase" : "uppercase") +
                      " as most instructions of this file are",
                  keyword);
  }
}

void lint_stage_names(const dockerfile::Dockerfile& file, LintCollector& collector) {
  std::set<std::string> seen;
  for (const Instruction& instruction : file.instructions) {
    const auto* from = instruction.as<dockerfile::From>();
    if (from == nullptr || from->name.empty()) continue;
    if (from->name == "scratch" || from->name == "context") {
      collector.add("ReservedStageName", instruction,
                    "stage name " + in_quotes(from->name) + " is reserved");
    }
    if (!seen.insert(from->name).second) {
      collector.add("DuplicateStageName", instruction,
                    "stage name " + in_quotes(from->name) + " is taken already");
    }
  }
}

// Names with a part (between underscores) that tells of a secret, and none that takes it back.
bool names_secret(const std::string& name) {
  static const std::set<std::string> secret = {"apikey", "auth",     "credential", "credentials",
                                               "key",    "password", "pword",      "passwd",
                                               "secret", "token"};
  static const std::set<std::string> harmless = {"public", "file", "version"};
  bool found = false;
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('_', at), name.size());
    const std::string part = lower(name.substr(at, end - at));
    if (harmless.contains(part)) return false;
    found = found || secret.contains(part);
    at = end + 1;
  }
  return found;
}

void lint_name(const Instruction& instruction, const std::string& name, LintCollector& collector) {
  if (!names_secret(name)) return;
  collector.add("SecretsUsedInArgOrEnv", instruction,
                upper(instruction.keyword) + " " + in_quotes(name) + " looks like a secret", name);
}

void lint_pairs(const Instruction& instruction, const std::vector<dockerfile::KeyValue>& pairs,
                LintCollector& collector) {
  for (const dockerfile::KeyValue& pair : pairs) {
    if (!pair.spaced) continue;
    collector.add("LegacyKeyValueFormat", instruction,
                  "old form of " + upper(instruction.keyword) + " without '='", pair.key);
  }
}

void lint_description(const Instruction& instruction, const std::vector<std::string>& names,
                      LintCollector& collector) {
  if (instruction.comments.empty() || names.empty()) return;
  const std::string& comment = instruction.comments.back();
  const std::string first = comment.substr(0, comment.find(' '));
  if (std::ranges::find(names, first) != names.end() || comment.starts_with("check=")) return;
  collector.add("InvalidDefinitionDescription", instruction,
                "the comment above does not describe " + in_quotes(names[0]));
}

void lint_one(const Instruction& instruction, char escape, LintCollector& collector) {
  if (const auto* from = instruction.as<dockerfile::From>()) {
    lint_from(instruction, escape, collector);
    if (!from->name.empty()) lint_description(instruction, {from->name}, collector);
  } else if (instruction.as<dockerfile::Maintainer>() != nullptr) {
    collector.add("MaintainerDeprecated", instruction, "MAINTAINER is deprecated");
  } else if (const auto* env = instruction.as<dockerfile::Env>()) {
    lint_pairs(instruction, env->variables, collector);
    for (const auto& pair : env->variables) lint_name(instruction, pair.key, collector);
  } else if (const auto* label = instruction.as<dockerfile::Label>()) {
    lint_pairs(instruction, label->labels, collector);
  } else if (const auto* arg = instruction.as<dockerfile::Arg>()) {
    std::vector<std::string> names;
    for (const auto& definition : arg->definitions) {
      names.push_back(definition.name);
      lint_name(instruction, definition.name, collector);
    }
    lint_description(instruction, names, collector);
  }
}

}  // namespace

void lint_instructions(const dockerfile::Dockerfile& file, LintCollector& collector) {
  const char escape = file.directives.escape_character();
  for (const Instruction& instruction : file.instructions) lint_one(instruction, escape, collector);
  for (const dockerfile::SourceRange& range : file.empty_continuations) {
    collector.add("NoEmptyContinuation", range, "blank line inside the instruction that ends here");
  }
  lint_casing(file, collector);
  lint_stage_names(file, collector);
  if (const auto& syntax = file.directives.syntax) {
    std::string_view name = syntax->value;
    if (name.starts_with("docker.io/")) name.remove_prefix(10);
    const bool own = name == "docker/dockerfile" || name.starts_with("docker/dockerfile:") ||
                     name.starts_with("docker/dockerfile@");
    if (!own) {
      collector.add("SyntaxIgnored", syntax->range,
                    "the frontend " + in_quotes(syntax->value) + " is not used");
    }
  }
}

}  // namespace kiln::stage
