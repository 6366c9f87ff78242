// Owns: taking in findings, minus those that the file asks to leave out.
// Does not own: any rule's logic.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "builder/stage/lint.hh"

namespace kiln::stage {

class LintCollector {
 public:
  LintCollector(const dockerfile::Source& source, LintOptions options)
      : source_(source), options_(std::move(options)) {}

  // About `instruction`; the carets stand below `text` if that is found in it.
  void add(std::string_view rule, const dockerfile::Instruction& instruction,
           const std::string& message, std::string_view text = {});
  void add(std::string_view rule, const dockerfile::SourceRange& range, const std::string& message);

  LintResult take();

 private:
  const dockerfile::Source& source_;
  LintOptions options_;
  std::vector<Finding> findings_;
};

// Rules that need no more than the text of instructions and stage names.
void lint_instructions(const dockerfile::Dockerfile& file, LintCollector& collector);
// Rules about FROM: base names, platforms, ARGs in them.
void lint_bases(const dockerfile::Dockerfile& file, const Graph& graph, LintCollector& collector);
// Rules that need the state in which an instruction is met.
void lint_states(const Graph& graph, const dockerfile::IgnoreMatcher* ignore,
                 LintCollector& collector);

}  // namespace kiln::stage
