// Owns: the table of kiln's verbs and global options. Does not own: any verb; each is declared here
// and defined in its own file, `extern const Verb` with constant initialisation.
#pragma once

#include <span>

#include "builder/cli/verb.hh"

namespace kiln::cli {

// All verbs, in the order of `kiln --help`; hidden ones included.
std::span<const Verb* const> verbs();
const Verb* find_verb(std::string_view name);
// --store, --debug, --help.
std::span<const Option> global_options();

// The whole program: parses, dispatches, prints errors. The exit status.
int main(std::span<const std::string> words);

}  // namespace kiln::cli
