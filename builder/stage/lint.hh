// Owns: the rules of `kiln check`: what is wrong or risky in a Dockerfile that builds all the same.
// Does not own: errors, which are DockerfileErrors, nor reading files.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "builder/dockerfile/file.hh"
#include "builder/dockerfile/ignore.hh"
#include "builder/stage/graph.hh"

namespace kiln::stage {

struct Rule {
  std::string_view name;
  std::string_view advice;    // what to do instead
  bool experimental = false;  // only when asked for
};

// All rules, in the order of their documentation.
const std::vector<Rule>& lint_rules();

struct Finding {
  const Rule* rule = nullptr;
  dockerfile::SourceRange range;
  std::string message;  // what is wrong here
};

// `skip=RULE,RULE;experimental=RULE;error=true`; "all" stands for every rule.
struct LintOptions {
  std::set<std::string, std::less<>> skip;
  std::set<std::string, std::less<>> experimental;
  bool skip_all = false;
  bool experimental_all = false;
  bool error = false;  // findings fail a build, not only a check
};

// Throws Error for anything else than the notation above.
LintOptions parse_lint_options(std::string_view text);

struct LintResult {
  std::vector<Finding> findings;  // by place
  bool error = false;             // there are findings and `error=true` was said
};

// Checks every stage. Options come from the directive `# check=…`, and from a comment of that form
// above an instruction for it alone. `ignore` is the context's ignore file, null when there is
// none. Throws DockerfileError where the file cannot be built at all.
LintResult lint(const dockerfile::Dockerfile& file, const Inputs& inputs,
                const BaseConfig& base_config, const dockerfile::IgnoreMatcher* ignore);

// "Dockerfile:3: RULE: message", the line with carets, and the advice; for all findings.
std::string lint_text(const dockerfile::Source& source, const LintResult& result);
// {"file", "findings": [{"rule", "message", "advice", "range": {"start": {"line", "column"},
// "end"}}], "error"}; columns count bytes from 1, `end` is behind the last byte.
std::string lint_json(const dockerfile::Source& source, const LintResult& result);

}  // namespace kiln::stage
