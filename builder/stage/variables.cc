#include "builder/stage/variables.hh"

#include <algorithm>

#include "builder/dockerfile/characters.hh"

namespace kiln::stage {

std::optional<std::string> Variables::get(std::string_view name) const {
  const auto found = std::ranges::find(all_, name, &std::pair<std::string, std::string>::first);
  if (found == all_.end()) return std::nullopt;
  return found->second;
}

void Variables::set(std::string_view name, std::string value) {
  const auto found = std::ranges::find(all_, name, &std::pair<std::string, std::string>::first);
  if (found != all_.end()) {
    found->second = std::move(value);
  } else {
    all_.emplace_back(name, std::move(value));
  }
}

std::vector<std::string> Variables::names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : all_) names.push_back(name);
  return names;
}

dockerfile::Lookup Variables::lookup() const {
  return [this](std::string_view name) { return get(name); };
}

Variables platform_variables(const Inputs& inputs, std::string_view target_stage) {
  const oci::Platform& build = inputs.build_platform;
  const oci::Platform& target = inputs.target_platform;
  const std::pair<std::string_view, std::string> defaults[] = {
      {"BUILDPLATFORM", oci::platform_text(build)},
      {"BUILDOS", build.os},
      {"BUILDOSVERSION", build.os_version},
      {"BUILDARCH", build.architecture},
      {"BUILDVARIANT", build.variant},
      {"TARGETPLATFORM", oci::platform_text(target)},
      {"TARGETOS", target.os},
      {"TARGETOSVERSION", target.os_version},
      {"TARGETARCH", target.architecture},
      {"TARGETVARIANT", target.variant},
      {"TARGETSTAGE", std::string(target_stage.empty() ? "default" : target_stage)},
  };
  Variables variables;
  for (const auto& [name, value] : defaults) {
    const auto given = inputs.build_args.find(std::string(name));
    variables.set(name, given == inputs.build_args.end() ? value : given->second);
  }
  return variables;
}

void define_global(Variables& variables, const dockerfile::Arg& arg, const Inputs& inputs,
                   char escape) {
  for (const dockerfile::ArgDefinition& definition : arg.definitions) {
    const auto given = inputs.build_args.find(definition.name);
    if (given != inputs.build_args.end()) {
      variables.set(definition.name, given->second);
    } else if (definition.value) {
      variables.set(
          definition.name,
          dockerfile::expand_word(*definition.value, variables.lookup(), {.escape = escape}).text);
    }
  }
}

bool is_proxy_variable(std::string_view name) {
  const std::string lower = dockerfile::lower(name);
  return lower == "http_proxy" || lower == "https_proxy" || lower == "ftp_proxy" ||
         lower == "no_proxy" || lower == "all_proxy";
}

std::vector<std::pair<std::string, std::string>> proxy_variables(const Inputs& inputs) {
  std::vector<std::pair<std::string, std::string>> found;
  for (const auto& [name, value] : inputs.build_args) {
    if (is_proxy_variable(name)) found.emplace_back(name, value);
  }
  return found;
}

}  // namespace kiln::stage
