// Owns: the stages of a Dockerfile, what each starts from and copies from, and which of them the
// target needs. ONBUILD triggers are already in place as steps.
// Does not own: the state that steps build up (state.hh), nor any input or output: configurations
// of base images come through a callback.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "builder/dockerfile/file.hh"
#include "builder/stage/inputs.hh"
#include "builder/stage/variables.hh"

namespace kiln::stage {

// One instruction of a stage, in the order to be done.
struct Step {
  dockerfile::Instruction instruction;  // not expanded
  // COPY: where it reads. RUN: one for each mount, in their order (meaningless for types that have
  // no source). Empty for all others.
  std::vector<Origin> origins;
  bool from_trigger = false;  // an ONBUILD of the base
};

struct Stage {
  size_t index = 0;
  std::string name;               // lower case; empty without AS
  dockerfile::SourceRange range;  // of its FROM
  std::string from_text;          // "FROM alpine AS base", for reports
  Origin base;
  std::optional<oci::Platform> platform;  // --platform of this FROM
  // --build-context NAME replaces a stage of that name: its steps are not done.
  bool replaced = false;
  std::vector<Step> steps;

  // "build" or "stage-2", for reports.
  std::string label() const { return name.empty() ? "stage-" + std::to_string(index) : name; }
};

// Keeps references to `file` and `inputs`: both must outlive it.
class Graph {
 public:
  // Splits the file into stages, resolves names, brings in ONBUILD triggers of what the target
  // needs (which may make it need more). Throws DockerfileError: no FROM, an instruction in front
  // of it, an unknown target, COPY --from of a later stage, variables in --from, a blank base name.
  Graph(const dockerfile::Dockerfile& file, const Inputs& inputs, const BaseConfig& base_config);

  const std::vector<Stage>& stages() const { return stages_; }
  const Stage& target() const { return stages_[target_]; }
  // Indices of the stages that the target needs, itself included; each behind all that it needs.
  const std::vector<size_t>& needed() const { return needed_; }
  bool is_needed(size_t stage) const;
  // The stages that `stage` itself starts or copies from, ascending.
  std::vector<size_t> dependencies(size_t stage) const;

  // Platform variables and ARGs in front of the first FROM.
  const Variables& globals() const { return globals_; }
  const Inputs& inputs() const { return inputs_; }
  const dockerfile::Source& source() const { return file_.source; }
  char escape() const { return file_.directives.escape_character(); }
  // The configuration that `stage` starts from when its base is an image or named context and the
  // stage is needed.
  const std::optional<oci::ImageConfig>& base_config(size_t stage) const {
    return base_configs_[stage];
  }

 private:
  void split();
  void add_stage(const dockerfile::Instruction& instruction);
  Origin base_origin(const std::string& name, const Stage& stage) const;
  Origin copy_origin(const std::string& name, size_t stage,
                     const dockerfile::SourceRange& range) const;
  Step make_step(const dockerfile::Instruction& instruction, size_t stage) const;
  std::optional<size_t> find_stage(std::string_view name, size_t before) const;
  std::optional<std::string> find_context(const std::string& name) const;
  void choose_target();
  void resolve_needed(const BaseConfig& base_config);
  // Puts the triggers of its base in front of a stage's steps; whether there were any.
  bool fire_triggers(Stage& stage, const BaseConfig& base_config);
  [[noreturn]] void fail(const dockerfile::SourceRange& range, const std::string& message,
                         std::string hint = {}) const;

  const dockerfile::Dockerfile& file_;
  const Inputs& inputs_;
  Variables globals_;
  std::vector<Stage> stages_;
  std::vector<std::optional<oci::ImageConfig>> base_configs_;
  size_t target_ = 0;
  std::vector<size_t> needed_;
};

}  // namespace kiln::stage
