// Owns: how a verb declares its options, operands and help, and what parsing a command line yields.
// Does not own: what any verb does, nor the list of verbs (verbs.hh).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "builder/sys/error.hh"

namespace kiln::cli {

// What a shell offers for an option's argument or an operand.
enum class Completes { nothing, file, directory, image, stage };

// One row of an option table. The parser, `--help`, the shell completions and the test against the
// man page all read the same row.
struct Option {
  char letter = 0;            // 'f' for -f; 0 when there is no short form
  std::string_view name;      // "file" for --file
  std::string_view argument;  // "FILE"; empty for a switch, which takes no argument
  std::string_view help;
  std::string_view initial;  // value when not given; shown in the help
  bool repeated = false;     // may be given more than once, all values count
  std::string_view choices;  // "auto|tty|plain|json": the only values accepted
  std::string_view implied;  // the value of a bare --name; then one is given as --name=VALUE only
  Completes completes = Completes::nothing;
};

class Arguments;

// One row of the verb table. Constant-initialised; lives in the file of the verb that it describes.
struct Verb {
  std::string_view name;
  std::string_view operands;  // as the synopsis shows them: "IMAGE [COMMAND [ARG...]]"
  std::string_view summary;   // one line
  std::span<const Option> options;
  std::string_view examples;  // each a line, shown at the end of --help
  size_t least = 0;           // number of operands
  size_t most = SIZE_MAX;
  bool stop_at_operand = false;  // what follows operand number `least` is never read as an option
  bool hidden = false;           // left out of `kiln --help`
  int error_exit = 1;            // exit status of kiln's own failures (docker run: 125)
  Completes completes = Completes::nothing;
  // Works with files of several owners, or mounts: an ordinary user is taken into a user namespace.
  bool needs_ids = false;
  int (*run)(const Arguments& arguments) = nullptr;
};

// A command line that does not fit the tables. The message already names what would be right.
class UsageError : public Error {
 public:
  using Error::Error;
};

// A parsed command line. Options are asked for by long name; asking for one that neither the verb's
// table nor the global one has is a programming error (std::logic_error).
class Arguments {
 public:
  // Whether a switch is on, or an option with an argument was given at all.
  bool has(std::string_view name) const;
  // The (last) value given, else the option's `initial` value if it has one.
  std::optional<std::string> value(std::string_view name) const;
  // As value(), with "" when absent.
  std::string text(std::string_view name) const { return value(name).value_or(""); }
  // All values in the order given; the initial value when there are none.
  std::vector<std::string> values(std::string_view name) const;

  const std::vector<std::string>& operands() const { return operands_; }
  // Operands that followed a `--`; they are the tail of operands().
  std::span<const std::string> after_dashes() const;
  const Verb& verb() const { return *verb_; }

  // One given option with its value ("true"/"false" for switches), in command-line order across
  // options: where the order between different options matters.
  struct Given {
    const Option* option;
    std::string value;
  };
  const std::vector<Given>& given() const { return given_; }

 private:
  friend Arguments parse(const Verb& verb, std::span<const Option> globals,
                         std::span<const std::string> words);
  const Option& declared(std::string_view name) const;

  const Verb* verb_ = nullptr;
  std::span<const Option> globals_;
  std::vector<Given> given_;
  std::vector<std::string> operands_;
  std::optional<size_t> dashes_;
};

// Reads `words` (all that follows the verb) by the verb's table, then by the global one: `--name
// value`, `--name=value`, `-n value`, `-nvalue`, `-abc` for switches, `--switch=true|false`, `--`.
// `--help` anywhere is accepted and reported by has("help"). Throws UsageError.
Arguments parse(const Verb& verb, std::span<const Option> globals,
                std::span<const std::string> words);

// Strict numbers for option values; `what` names the option in the UsageError.
int64_t parse_number(std::string_view text, std::string_view what, int64_t least = INT64_MIN,
                     int64_t most = INT64_MAX);
// "512m", "1.5g", "10485760", with the suffixes b k m g t (also kb, kib …), powers of 1024 as
// Docker reads them. Result in bytes.
int64_t parse_size(std::string_view text, std::string_view what);

// Text of `kiln VERB --help`: at most one screen of 80 columns.
std::string usage(const Verb& verb, std::span<const Option> globals);
// Text of `kiln --help`.
std::string usage(std::span<const Verb* const> verbs, std::span<const Option> globals);

// The candidate most like `word`, or "" when nothing is near enough to be a misspelling of it.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace kiln::cli
