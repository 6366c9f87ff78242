#include <unistd.h>

#include "runtime/cli/help.hh"
#include "runtime/cli/verbs.hh"
#include "runtime/sys/file.hh"

namespace vessel::cli {

Verb completion_verb() {
  return {.name = "completion",
          .usage = "print a completion script",
          .operands = "<bash|zsh|fish>",
          .description = "",
          .options = {},
          .least_operands = 1,
          .most_operands = 1,
          .hidden = true,
          .run = [](const Globals&, const Arguments& a) {
            write_all(STDOUT_FILENO, completion_script(a.operand(0)), "standard output");
            return 0;
          }};
}

}  // namespace vessel::cli
