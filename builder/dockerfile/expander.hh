// Owns: word expansion: variables in all their forms, quotes and escapes, as BuildKit's shell
// lexer. Does not own: which words of which instruction are expanded, or the variables.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::dockerfile {

// The value of a variable; nullopt when it is unset.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

struct ExpandOptions {
  char escape = '\\';
  bool raw_quotes = false;   // quotes stay in the result
  bool raw_escapes = false;  // escape characters stay in the result
  bool keep_quotes = false;  // quotes are ordinary characters (inline files)
  bool keep_unset = false;   // `$name` of an unset variable stays as it is written
};

struct Expanded {
  std::string text;                 // one word, blanks kept
  std::vector<std::string> words;   // the same, split at unquoted blanks after expansion
  std::set<std::string> matched;    // variables asked for that were set
  std::set<std::string> unmatched;  // that were not, under whatever modifier
};

// Throws Error "failed to process "WORD": reason": unfinished quotes or braces, an unknown form of
// ${}, and ${name:?message} of an unset variable.
Expanded expand_word(std::string_view word, const Lookup& lookup,
                     const ExpandOptions& options = {});

// The patterns of ${v#p} ${v%p} ${v/p/r}: `?` and `*`, `\` escapes. `value` without the shortest
// (longest if `longest`) match at its start or end.
std::string trim_prefix(std::string_view value, std::string_view pattern, bool longest);
std::string trim_suffix(std::string_view value, std::string_view pattern, bool longest);
// The first, or every, longest match of `pattern` replaced.
std::string replace_pattern(std::string_view value, std::string_view pattern,
                            std::string_view replacement, bool all);

}  // namespace kiln::dockerfile
