// Owns: how an instruction's line falls apart: keyword, flags, words.
// Does not own: expansion; quotes and escapes of words stay in place here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kiln::dockerfile {

struct CommandParts {
  std::string keyword;             // as written
  std::vector<std::string> flags;  // each `--name[=value]` before the arguments, quotes removed
  std::string arguments;           // the rest, trimmed
};

// `RUN --network=none make` → "RUN", {"--network=none"}, "make". A lone `--` ends the flags.
CommandParts split_command(std::string_view line, char escape);

// Words between blanks, where quotes and escapes hold a word together.
std::vector<std::string> split_quoted(std::string_view text, char escape);

// Parts between runs of tab, vertical tab, form feed, carriage return and space; at most `limit`
// (0: no limit). A blank at either end gives an empty part.
std::vector<std::string> split_blank(std::string_view text, size_t limit = 0);

}  // namespace kiln::dockerfile
