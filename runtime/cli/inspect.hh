// Owns: what the verbs plan, check, spec and features print, as text.
// Does not own: their options and operands, or writing to the standard streams.
#pragma once

#include <string>
#include <string_view>

#include "oci-spec/runtime_config.hh"
#include "oci-spec/runtime_features.hh"
#include "runtime/host/facts.hh"
#include "runtime/plan/make_plan.hh"

namespace vessel {

// `plan`: what the bundle would do here. options.bundle is absolute. Throws SysError when there is
// no config.json, oci::FormatError with all its problems.
std::string plan_text(const PlanOptions& options, bool json);

// `check`: every problem of the bundle's config.json and everything this host cannot honour, a line
// each. Throws SysError when there is no config.json.
struct CheckReport {
  std::string text;
  size_t problems = 0;  // warnings are none
};
CheckReport check_bundle(const PlanOptions& options);

// `spec`: runc's default config, to be edited. `rootless`: for the caller's own ids.
oci::Config example_config(const HostFacts& facts, bool rootless);
// Writes it to config.json in `directory`; refuses when there is one. Throws Error or SysError.
void write_example(const std::string& directory, const HostFacts& facts, bool rootless);

// `features`.
oci::Features runtime_features(std::string_view program_version);
std::string features_text(std::string_view program_version);

}  // namespace vessel
