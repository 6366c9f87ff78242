#include "runtime/cli/version.hh"

#include "oci-spec/runtime_config.hh"

namespace vessel::cli {

const std::string_view version = VESSEL_VERSION;

std::string version_text() {
  std::string number(version);
  return "runc version " + number + "+vessel\ncommit: vessel-" + number +
         "\nspec: " + std::string(oci::runtime_spec_version) + "\nvessel: " + number + "\n";
}

}  // namespace vessel::cli
