#include "runtime/hooks/hooks.hh"

#include "runtime/sys/error.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/spawn.hh"

namespace vessel {

namespace {

void run_hook(const std::string& name, const oci::Hook& hook, const HookSurroundings& around) {
  ProgramCall call;
  call.path = hook.path;
  call.args = hook.args;
  call.env = hook.env ? *hook.env : around.default_env;
  call.input = around.state_json;
  call.directory = around.directory;
  call.timeout_seconds = hook.timeout;
  call.umask = 022;
  ProgramResult result;
  try {
    result = run_program(call);
  } catch (Error& e) {
    e.prepend(name);
    throw;
  }
  if (result.timed_out || result.wait_status != 0) throw Error(name + ": " + describe(result));
  log::step(name);
}

std::string name_of(std::string_view kind, size_t index, const oci::Hook& hook) {
  return std::string(kind) + " hook " + std::to_string(index) + " (" + hook.path + ")";
}

}  // namespace

void run_hooks(std::string_view kind, const std::vector<oci::Hook>& hooks,
               const HookSurroundings& around) {
  for (size_t i = 0; i < hooks.size(); ++i) run_hook(name_of(kind, i, hooks[i]), hooks[i], around);
}

void run_poststop_hooks(const std::vector<oci::Hook>& hooks, const HookSurroundings& around,
                        void (*report)(std::string_view)) noexcept {
  for (size_t i = 0; i < hooks.size(); ++i) {
    try {
      run_hook(name_of("poststop", i, hooks[i]), hooks[i], around);
    } catch (const std::exception& e) {
      report(e.what());
    }
  }
}

}  // namespace vessel
