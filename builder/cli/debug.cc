// `kiln debug`: what the Dockerfile parser of the build makes of a text. It calls the same
// functions as the build; there is no second parser.
#include <fcntl.h>

#include "builder/cli/output.hh"
#include "builder/cli/verb.hh"
#include "builder/dockerfile/expander.hh"
#include "builder/dockerfile/file.hh"
#include "builder/dockerfile/ignore.hh"
#include "builder/sys/file.hh"

namespace kiln::cli {

namespace {

using Operands = std::span<const std::string>;

std::string read_text_file(const std::string& path) {
  if (path == "-") return read_fd(STDIN_FILENO, dockerfile::most_bytes, "standard input");
  return read_file_at(AT_FDCWD, path, dockerfile::most_bytes);
}

dockerfile::Lookup environment(const Arguments& arguments) {
  std::vector<std::string> variables = arguments.values("env");
  return [variables](std::string_view name) -> std::optional<std::string> {
    // The last one given counts.
    for (auto it = variables.rbegin(); it != variables.rend(); ++it) {
      const size_t equals = std::min(it->find('='), it->size());
      if (std::string_view(*it).substr(0, equals) != name) continue;
      return equals == it->size() ? "" : it->substr(equals + 1);
    }
    return std::nullopt;
  };
}

dockerfile::ExpandOptions expand_options(const Arguments& arguments) {
  dockerfile::ExpandOptions options;
  const std::string escape = arguments.text("escape");
  if (escape.size() != 1) throw UsageError("--escape takes one character, ` or \\");
  options.escape = escape[0];
  options.raw_quotes = arguments.has("raw-quotes");
  options.raw_escapes = arguments.has("raw-escapes");
  options.keep_unset = arguments.has("keep-unset");
  return options;
}

int ast(Operands operands) {
  for (const std::string& path : operands) {
    const dockerfile::Source source(path, read_text_file(path));
    print(tree_text(dockerfile::parse_tree(source)));
  }
  return 0;
}

// Each word's expansion, or each of the words that it falls into, on a line.
int expand(const Arguments& arguments, Operands operands, bool split) {
  const dockerfile::Lookup lookup = environment(arguments);
  const dockerfile::ExpandOptions options = expand_options(arguments);
  for (const std::string& word : operands) {
    const dockerfile::Expanded expanded = expand_word(word, lookup, options);
    if (!split) print(expanded.text + "\n");
    for (const std::string& part : expanded.words) {
      if (split) print(part + "\n");
    }
  }
  return 0;
}

int ignore(Operands operands) {
  if (operands.empty()) throw UsageError("debug ignore: which file of patterns?");
  const dockerfile::IgnoreMatcher matcher(
      dockerfile::read_ignore_file(read_text_file(operands[0])));
  for (const std::string& path : operands.subspan(1)) {
    print((matcher.matches(path) ? "ignored\t" : "kept\t") + path + "\n");
  }
  return 0;
}

int debug(const Arguments& arguments) {
  const std::string& subject = arguments.operands()[0];
  const Operands rest = Operands(arguments.operands()).subspan(1);
  if (subject == "ast") return ast(rest);
  if (subject == "expand") return expand(arguments, rest, false);
  if (subject == "words") return expand(arguments, rest, true);
  if (subject == "ignore") return ignore(rest);
  throw UsageError("debug " + subject + ": must be ast, expand, words or ignore");
}

constexpr Option debug_options[] = {
    {.letter = 'e',
     .name = "env",
     .argument = "NAME=VALUE",
     .help = "a variable for expand and words",
     .repeated = true},
    {.name = "escape", .argument = "CHAR", .help = "the escape character", .initial = "\\"},
    {.name = "raw-quotes", .help = "leave quotes in place"},
    {.name = "raw-escapes", .help = "leave escape characters in place"},
    {.name = "keep-unset", .help = "leave references to unset variables in place"},
};

}  // namespace

extern const Verb debug_verb;
const Verb debug_verb{
    .name = "debug",
    .operands = "ast|expand|words|ignore [ARG...]",
    .summary =
        "Show how kiln reads a Dockerfile (ast FILE), expands text (expand TEXT), splits it "
        "(words TEXT) or matches paths (ignore PATTERNFILE PATH...).",
    .options = debug_options,
    .examples =
        "kiln debug ast Dockerfile\n"
        "kiln debug expand -e v=1 '${v:-2}'\n"
        "kiln debug ignore .dockerignore src/a.o",
    .least = 1,
    .completes = Completes::file,
    .run = debug,
};

}  // namespace kiln::cli
