#include "runtime/hooks/hooks.hh"

#include "runtime/sys/error.hh"
#include "runtime/sys/log.hh"
#include "runtime/sys/spawn.hh"

namespace vessel {

void run_hooks(std::string_view kind, const std::vector<oci::Hook>& hooks,
               const std::string& state_json, const std::vector<std::string>& default_env) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    const oci::Hook& hook = hooks[i];
    const std::string name =
        std::string(kind) + " hook " + std::to_string(i) + " (" + hook.path + ")";
    ProgramCall call;
    call.path = hook.path;
    call.args = hook.args;
    call.env = hook.env ? *hook.env : default_env;
    call.input = state_json;
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
}

}  // namespace vessel
