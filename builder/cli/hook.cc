#include <unistd.h>

#include "builder/cli/verb.hh"
#include "builder/steps/bundle.hh"
#include "builder/steps/container_network.hh"
#include "builder/sys/file.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln::cli {

namespace {

constexpr size_t state_limit = size_t{1} << 20;

constexpr Option hook_options[] = {
    {.name = "rm", .help = "disconnect: the bundle ends with its container"},
    {.name = "volumes", .help = "disconnect --rm: its anonymous volumes too"},
};

int connect(const Arguments& arguments, const HookState& state) {
  const auto pasta = arguments.after_dashes();
  connect_network(state, {pasta.begin(), pasta.end()});
  return 0;
}

int disconnect(const Arguments& arguments, const HookState& state) {
  disconnect_network(state.bundle);
  if (!arguments.has("rm") || state.runs_again) return 0;
  Store store(Store::default_directory(arguments.text("store")));
  inside_user_namespace([&] { remove_bundle(store, state.bundle, arguments.has("volumes")); });
  return 0;
}

int hook(const Arguments& arguments) {
  const std::string& moment = arguments.operands()[0];
  const HookState state = read_hook_state(read_fd(STDIN_FILENO, state_limit, "standard input"));
  if (moment == "connect") return connect(arguments, state);
  if (moment == "disconnect") return disconnect(arguments, state);
  throw UsageError("hook: '" + moment + "' is neither connect nor disconnect");
}

}  // namespace

extern const Verb hook_verb;
const Verb hook_verb{
    .name = "hook",
    .operands = "connect -- PASTA-ARG... | disconnect",
    .summary = "Called by OCI runtimes as a hook of bundles that kiln made.",
    .options = hook_options,
    .examples = "kiln hook disconnect < state.json",
    .least = 1,
    .hidden = true,
    .run = hook,
};

}  // namespace kiln::cli
