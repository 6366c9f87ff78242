// Owns: the host, the options and the small config that the tests of this room start from.
// Does not own: any test.
#pragma once

#include <string>
#include <vector>

#include "oci-spec/runtime_config.hh"
#include "runtime/plan/make_plan.hh"

namespace vessel {

inline HostFacts test_host() {
  HostFacts facts;
  facts.kernel_major = 6;
  facts.kernel_minor = 12;
  facts.cgroup_layout = CgroupLayout::v2;
  return facts;
}

inline PlanOptions test_options() {
  PlanOptions options;
  options.id = "c1";
  options.bundle = "/bundle";
  return options;
}

// A config that is good as it is; `more` are further members, or others in place of these.
inline oci::Config test_config(const std::string& more = {}) {
  const auto default_of = [&](const char* name, const char* value) {
    const std::string quoted = "\"" + std::string(name) + "\":";
    return more.find(quoted) == more.npos ? ", " + quoted + " " + value : std::string();
  };
  return oci::read_config(
      "{\"ociVersion\": \"1.3.0\"" + default_of("process", R"({"args": ["sh"], "cwd": "/"})") +
          default_of("root", R"({"path": "rootfs"})") + (more.empty() ? "" : ", " + more) + "}",
      "config.json");
}

struct TestPlan {
  Plan plan;
  std::vector<std::string> problems;  // texts; those of the host start with "host: "
};

inline TestPlan test_plan(const std::string& more, const HostFacts& facts = test_host(),
                          const PlanOptions& options = test_options()) {
  TestPlan result;
  std::vector<PlanProblem> list;
  result.plan = try_plan(test_config(more), facts, options, list);
  for (const PlanProblem& p : list)
    result.problems.push_back((p.kind == PlanProblem::Kind::config ? "" : "host: ") + p.text());
  return result;
}

using Texts = std::vector<std::string>;

}  // namespace vessel
