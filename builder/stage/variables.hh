// Owns: the variables that a Dockerfile's words see, in order of definition.
// Does not own: where they come from.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "builder/dockerfile/expander.hh"
#include "builder/dockerfile/instruction.hh"
#include "builder/stage/inputs.hh"

namespace kiln::stage {

class Variables {
 public:
  std::optional<std::string> get(std::string_view name) const;
  // Replaces in place, else appends.
  void set(std::string_view name, std::string value);
  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }
  std::vector<std::string> names() const;
  // Valid while this object lives.
  dockerfile::Lookup lookup() const;

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

// BUILDPLATFORM … TARGETVARIANT, TARGETSTAGE: in scope of every FROM, and of a stage that declares
// them. A build argument of that name wins.
Variables platform_variables(const Inputs& inputs, std::string_view target_stage);

// The ARGs in front of the first FROM, on top of `variables`. Throws Error for a bad expansion.
void define_global(Variables& variables, const dockerfile::Arg& arg, const Inputs& inputs,
                   char escape);

// http_proxy and the like among the build arguments: RUN sees them without a declaration, and no
// image, history or cache key does.
std::vector<std::pair<std::string, std::string>> proxy_variables(const Inputs& inputs);
bool is_proxy_variable(std::string_view name);

}  // namespace kiln::stage
