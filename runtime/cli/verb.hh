// Owns: what a verb of the command line is. Does not own: any particular one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/cli/option.hh"

namespace vessel::cli {

// The options before the verb, checked.
struct Globals {
  std::string root;
  bool debug = false;
  bool systemd_cgroup = false;
  std::optional<bool> rootless;  // nullopt: auto
};

struct Verb {
  std::string_view name;
  std::string_view usage;     // one line of what it does
  std::string_view operands;  // "<container-id> [signal]"
  std::string_view description;
  std::vector<Option> options;
  size_t least_operands = 0, most_operands = 0;  // npos: any number
  bool options_first = false;
  bool hidden = false;  // in no list and no completion
  bool clones = false;  // makes processes in containers: runs from a protected copy of itself
  // What a shell offers as operands: containers in these statuses ("running|paused"), or nothing.
  std::string_view containers = {};
  int (*run)(const Globals&, const Arguments&) = nullptr;  // gives the exit code
  int failure_code = 1;
  std::string_view failure_prefix = {};  // before every message
};

inline constexpr size_t any_number = static_cast<size_t>(-1);

// A verb's answer, all of it, to standard output. Throws SysError.
void print(std::string_view text);

}  // namespace vessel::cli
