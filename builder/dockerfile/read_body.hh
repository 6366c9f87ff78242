// Owns: the reading of each kind of instruction from its node: argument counts, flags, values.
// Does not own: the place of an error; it throws Complaint.
#pragma once

#include <string_view>

#include "builder/dockerfile/instruction.hh"
#include "builder/dockerfile/tree.hh"

namespace kiln::dockerfile {

InstructionBody read_body(const Node& node);

// Throws Complaint for what ONBUILD may not hold: ONBUILD, FROM, MAINTAINER.
void check_trigger_keyword(std::string_view keyword);

// HEALTHCHECK has a language of its own.
Healthcheck read_healthcheck(const Node& node);

}  // namespace kiln::dockerfile
