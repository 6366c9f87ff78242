#include "builder/cli/output.hh"
#include "builder/cli/verbs.hh"

namespace kiln::cli {

namespace {

int help(const Arguments& arguments) {
  if (arguments.operands().empty()) {
    print(usage(verbs(), global_options()));
    return 0;
  }
  const Verb* verb = find_verb(arguments.operands()[0]);
  if (verb == nullptr) throw UsageError("no verb '" + arguments.operands()[0] + "'");
  print(usage(*verb, global_options()));
  return 0;
}

}  // namespace

extern const Verb help_verb;
const Verb help_verb{
    .name = "help",
    .operands = "[VERB]",
    .summary = "Explain kiln or one of its verbs.",
    .examples = "kiln help build",
    .most = 1,
    .run = help,
};

}  // namespace kiln::cli
