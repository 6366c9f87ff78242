// Owns: the generic parse tree of a Dockerfile: logical lines with their comments and heredocs,
// each split the way its instruction wants, and the tree's textual notation. Does not own: which
// flags and arguments make sense.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/dockerfile/heredoc.hh"
#include "builder/dockerfile/source.hh"

namespace kiln::dockerfile {

struct Directive {
  std::string value;
  SourceRange range;
};

// Parser directives: `# syntax=`, `# escape=`, `# check=` at the very top.
struct Directives {
  std::optional<Directive> syntax;
  std::optional<Directive> escape;
  std::optional<Directive> check;
  char escape_character() const { return escape ? escape->value[0] : '\\'; }
};

struct Node {
  std::string keyword;                 // as written
  std::vector<std::string> flags;      // `--name=value`
  std::vector<std::string> arguments;  // ENV, LABEL: triples of key, value, "=" or ""
  std::vector<Node> sub;               // ONBUILD: the one instruction it holds
  bool json = false;                   // arguments came from a JSON array
  std::string original;                // the logical line
  SourceRange range;
  std::vector<std::string> comments;
  std::vector<Heredoc> heredocs;
};

struct Tree {
  Directives directives;
  std::vector<Node> nodes;
  // Blank lines inside a continued instruction, one per instruction (the line where it ended).
  std::vector<SourceRange> empty_continuations;
};

// Throws DockerfileError: no instruction at all, a heredoc without end, a key without value, a JSON
// array of something else than strings, a second directive of a kind.
Tree parse_tree(const Source& source);

// One instruction's line as a node, without heredoc bodies. Throws Error.
Node parse_line(std::string_view line, char escape);

// BuildKit's notation: one `(keyword ["flag"] "argument" …)` a line.
std::string tree_text(const Tree& tree);

}  // namespace kiln::dockerfile
