// Owns: the texts made from the verb and option tables: help and completions.
// Does not own: the manual pages, which a test compares with the same tables.
#pragma once

#include <string>

#include "runtime/cli/verb.hh"

namespace vessel::cli {

std::string program_help();
std::string verb_help(const Verb& verb);
// For bash, zsh or fish. Throws Error for others.
std::string completion_script(const std::string& shell);

}  // namespace vessel::cli
