#include "runtime/cli/inspect.hh"
#include "runtime/cli/plan_steps.hh"
#include "runtime/sys/file.hh"

namespace vessel {

std::string plan_text(const PlanOptions& options, bool json) {
  const std::string file = options.bundle + "/config.json";
  HostFacts facts = probe_host();
  facts.resctrl = !find_resctrl(true).empty();
  const Plan plan = make_plan(oci::read_config(read_file(file), file), facts, options);
  return json ? plan_json(plan, facts) : plan_table(plan, facts);
}

}  // namespace vessel
