// Owns: where a build's Dockerfile and context come from: a directory, a tar on standard input or
// at a URL, a git repository, a Dockerfile alone; and the ignore rules that go with them. Does not
// own: building.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "builder/context/context.hh"
#include "builder/dockerfile/ignore.hh"
#include "builder/dockerfile/source.hh"
#include "builder/progress/progress.hh"
#include "builder/steps/runtime_call.hh"

namespace kiln::cli {

struct BuildSources {
  std::shared_ptr<const Context> context;  // null: there is none
  dockerfile::Source dockerfile{"", ""};
  std::shared_ptr<const dockerfile::IgnoreMatcher> ignore;  // null: nothing is ignored
  std::string project;                                      // names both, for --explain
  std::shared_ptr<void> keep;                               // removes what was fetched or unpacked
};

// `operand` is the CONTEXT of the command line, `file` the value of -f ("" when not given). What
// has to be fetched or unpacked goes below `work_directory`. Throws Error.
BuildSources open_build_sources(const std::string& operand, const std::string& file,
                                const std::string& work_directory, Progress& progress,
                                const Cancellation& cancel);

}  // namespace kiln::cli
