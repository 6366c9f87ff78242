#include "builder/stage/state.hh"

#include <algorithm>

#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/ignore.hh"
#include "builder/stage/recorder.hh"
#include "builder/sys/url_credentials.hh"

namespace kiln::stage {

State::State(const Graph& graph, const Stage& stage, const State* base) : graph_(&graph) {
  if (base != nullptr) {
    // Also the ARGs of the base stage go on; its ONBUILD triggers have fired and its CMD may be
    // reset by an ENTRYPOINT of this stage.
    platform_ = base->platform_;
    image_ = base->image_;
    image_.config.on_build.clear();
    variables_ = base->variables_;
    declared_ = base->declared_;
    return;
  }
  platform_ = stage.platform.value_or(graph.inputs().target_platform);
  if (const auto& config = graph.base_config(stage.index)) image_ = *config;
  image_.created.clear();
  image_.config.on_build.clear();
  if (image_.os.empty() || image_.architecture.empty()) {
    image_.os = platform_.os;
    image_.architecture = platform_.architecture;
    image_.variant = platform_.variant;
    image_.os_version = platform_.os_version;
    image_.os_features = platform_.os_features;
  }
  const bool has_path = std::ranges::any_of(
      image_.config.env, [](const std::string& entry) { return entry.starts_with("PATH="); });
  if (!has_path) image_.config.env.push_back(std::string("PATH=") + default_path);
  for (const std::string& entry : image_.config.env) {
    const size_t equals = std::min(entry.find('='), entry.size());
    if (equals == 0) continue;  // no name: no runtime takes it
    variables_.set(entry.substr(0, equals),
                   equals == entry.size() ? std::string() : entry.substr(equals + 1));
  }
}

Applied State::apply(const Step& step) {
  const dockerfile::Instruction& instruction = step.instruction;
  Applied applied;
  const auto expand = [&](std::string_view word, const dockerfile::ExpandOptions& options) {
    dockerfile::Expanded expanded = dockerfile::expand_word(word, variables_.lookup(), options);
    applied.unset.merge(expanded.unmatched);
    return expanded;
  };
  const char escape = graph_->escape();
  const dockerfile::Expansion expansion{
      [&](std::string_view word) { return expand(word, {.escape = escape}).text; },
      [&](std::string_view word) { return expand(word, {.escape = escape}).words; },
      // Inline files are documents: quotes in them are text, and their escape is always the
      // backslash.
      [&](std::string_view text) { return expand(text, {.keep_quotes = true}).text; },
  };
  try {
    // A default of ARG that a build argument replaces is not expanded: it may not even be valid.
    const bool is_arg = instruction.as<dockerfile::Arg>() != nullptr;
    applied.body = is_arg ? instruction.body : dockerfile::expand(instruction.body, expansion);
    Recorder recorder{*this, instruction, expansion, applied};
    std::visit(recorder, applied.body);
  } catch (const dockerfile::DockerfileError&) {
    throw;
  } catch (const dockerfile::Complaint& complaint) {
    const auto range = graph_->source().find(instruction.range, complaint.culprit());
    throw dockerfile::DockerfileError(graph_->source(), range, complaint.message(),
                                      complaint.hint());
  } catch (const Error& error) {
    throw dockerfile::DockerfileError(graph_->source(), instruction.range, error.message());
  }
  for (const std::string& name : declared_) applied.unset.erase(name);
  return applied;
}

void State::add_history(std::string created_by, bool layer) {
  oci::History entry;
  created_by = without_credentials(created_by);
  entry.created_by = std::move(created_by);
  entry.comment = "kiln";
  entry.empty_layer = !layer;
  image_.history.push_back(std::move(entry));
}

std::string State::working_dir() const {
  const std::string& path = image_.config.working_dir;
  return path.empty() ? "/" : path;
}

std::vector<std::string> State::run_environment() const {
  std::vector<std::string> environment;
  for (const auto& [name, value] : proxy_variables(graph_->inputs())) {
    if (!variables_.get(name)) environment.push_back(name + "=" + value);
  }
  for (const auto& [name, value] : variables_.all()) environment.push_back(name + "=" + value);
  return environment;
}

std::vector<std::pair<std::string, std::string>> State::declared_arguments() const {
  std::vector<std::pair<std::string, std::string>> arguments;
  for (const std::string& name : declared_) {
    arguments.emplace_back(name, variables_.get(name).value_or(""));
  }
  return arguments;
}

std::string State::absolute(std::string_view path) const {
  const bool directory = path.empty() || path == "." || path.ends_with('/') || path.ends_with("/.");
  std::string result = dockerfile::clean_path(
      path.starts_with('/') ? std::string(path) : working_dir() + "/" + std::string(path));
  if (directory && !result.ends_with('/')) result += '/';
  return result;
}

}  // namespace kiln::stage
