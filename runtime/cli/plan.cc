#include "runtime/cli/inspect.hh"
#include "runtime/cli/plan_steps.hh"
#include "runtime/security/seccomp.hh"
#include "runtime/sys/file.hh"

namespace vessel {

std::string plan_text(const PlanOptions& options, bool json) {
  const std::string file = options.bundle + "/config.json";
  HostFacts facts = probe_host();
  facts.resctrl = !find_resctrl(true).empty();
  std::vector<oci::Problem> unread;
  oci::Config config = oci::read_config(read_file(file), file, unread);
  const Plan plan = make_plan(std::move(config), facts, options, unread);
  if (plan.seccomp) require_usable_seccomp(*plan.seccomp, plan.seccomp_before_capabilities);
  return json ? plan_json(plan, facts) : plan_table(plan, facts);
}

}  // namespace vessel
