#include "runtime/cli/verbs.hh"

namespace vessel::cli {

namespace {

// podman takes exit 0 of `checkpoint --help` for support, so main does not answer --help for these
// either.
int refuse(const Globals&, const Arguments&) {
  throw Error("checkpoint and restore are not supported by this version of vessel");
}

}  // namespace

Verb checkpoint_verb() {
  return {.name = "checkpoint",
          .usage = "not supported yet",
          .operands = "",
          .description = "",
          .options = {},
          .most_operands = any_number,
          .hidden = true,
          .run = refuse};
}

Verb restore_verb() {
  Verb verb = checkpoint_verb();
  verb.name = "restore";
  return verb;
}

}  // namespace vessel::cli
