// Owns: option tables as data, and reading a command line by them the way runc does.
// Does not own: which verbs there are (verbs.hh), help and completion texts (help.hh).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vessel::cli {

struct Option {
  std::string_view name;  // without dashes
  char short_name = '\0';
  std::string_view value = {};  // what the value is called in help; empty: a switch
  std::string_view help;
  std::string_view default_value = {};
  bool repeated = false;
};

// Not to be confused with an error of the verb: help follows it.
class UsageError;

// A command line read by a table. A name that the table lacks is a programming error and throws.
class Arguments {
 public:
  bool flag(std::string_view name) const;
  bool given(std::string_view name) const { return values_.count(std::string(name)) != 0; }
  // The last one given, or the default.
  std::string value(std::string_view name) const;
  std::vector<std::string> values(std::string_view name) const;
  const std::vector<std::string>& operands() const { return operands_; }
  const std::string& operand(size_t index) const { return operands_.at(index); }

  // `--name value`, `--name=value`, the same with one dash, `-x value`; switches also `--name=true`
  // and `=false`; `--` ends options. `options_first`: the first operand ends them too (global
  // options, exec, ps). `--help` and `-h` are always known. Throws UsageError.
  static Arguments parse(const std::vector<std::string>& words, const std::vector<Option>& options,
                         bool options_first);

 private:
  const std::vector<Option>* options_ = nullptr;
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> operands_;
  const Option& find(std::string_view name) const;
};

// Strictly, with the option's name in the message.
uint32_t count_of(const Arguments& arguments, std::string_view name);
bool bool_of(std::string_view text, std::string_view name);

}  // namespace vessel::cli

#include "runtime/sys/error.hh"

namespace vessel::cli {

class UsageError : public Error {
 public:
  using Error::Error;
};

}  // namespace vessel::cli
