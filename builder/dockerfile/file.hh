// Owns: a whole Dockerfile, parsed into typed instructions.
// Does not own: stages, variables, or what the instructions do.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "builder/dockerfile/instruction.hh"
#include "builder/dockerfile/source.hh"
#include "builder/dockerfile/tree.hh"

namespace kiln::dockerfile {

struct Dockerfile {
  Source source;
  Directives directives;
  std::vector<Instruction> instructions;
  std::vector<SourceRange> empty_continuations;  // for `check`
};

// Throws DockerfileError at the first thing wrong, with its place. Order and meaning of the
// instructions (a FROM first, stage names) are the stage graph's business.
Dockerfile parse_dockerfile(Source source);

// One node as a typed instruction. Throws DockerfileError.
Instruction parse_instruction(const Node& node, const Source& source);

// An ONBUILD trigger as an image keeps it: exactly one instruction, no FROM, MAINTAINER or ONBUILD.
// Its range is `range` of `source`: the FROM that fires it. Throws DockerfileError there.
Instruction parse_trigger(std::string_view trigger, const Source& source, const SourceRange& range);

}  // namespace kiln::dockerfile
