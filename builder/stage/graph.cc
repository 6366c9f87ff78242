#include "builder/stage/graph.hh"

#include <algorithm>
#include <charconv>
#include <set>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"

namespace kiln::stage {

using dockerfile::Arg;
using dockerfile::Copy;
using dockerfile::DockerfileError;
using dockerfile::From;
using dockerfile::Instruction;
using dockerfile::Onbuild;
using dockerfile::Run;
using dockerfile::SourceRange;

namespace {

std::optional<size_t> as_number(std::string_view text) {
  size_t value = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || last != end) return std::nullopt;
  return value;
}

// The name by which --build-context knows an image: without Docker's defaults.
std::string familiar(std::string name) {
  for (const std::string_view prefix : {"docker.io/library/", "docker.io/"}) {
    if (name.starts_with(prefix)) {
      name.erase(0, prefix.size());
      break;
    }
  }
  if (name.ends_with(":latest")) name.erase(name.size() - 7);
  return name;
}

std::string target_name(const dockerfile::Dockerfile& file, const Inputs& inputs) {
  if (!inputs.target.empty()) return inputs.target;
  std::string name;
  for (const Instruction& instruction : file.instructions) {
    if (const From* from = instruction.as<From>()) name = from->name;
  }
  return name;
}

}  // namespace

Graph::Graph(const dockerfile::Dockerfile& file, const Inputs& inputs,
             const BaseConfig& base_config)
    : file_(file),
      inputs_(inputs),
      globals_(platform_variables(inputs, target_name(file, inputs))) {
  split();
  choose_target();
  resolve_needed(base_config);
}

void Graph::fail(const SourceRange& range, const std::string& message, std::string hint) const {
  throw DockerfileError(file_.source, range, message, std::move(hint));
}

void Graph::split() {
  for (const Instruction& instruction : file_.instructions) {
    try {
      if (instruction.as<From>() != nullptr) {
        add_stage(instruction);
      } else if (!stages_.empty()) {
        stages_.back().steps.push_back({instruction, {}, false});
      } else if (const Arg* arg = instruction.as<Arg>()) {
        define_global(globals_, *arg, inputs_, escape());
      } else {
        throw Error("no build stage in current context: the first instruction must be FROM or ARG");
      }
    } catch (const DockerfileError&) {
      throw;
    } catch (const Error& error) {
      fail(instruction.range, error.message());
    }
  }
  if (stages_.empty()) fail(file_.source.lines(1, 1), "no FROM: nothing to build");
  for (Stage& stage : stages_) {
    for (Step& step : stage.steps) step = make_step(step.instruction, stage.index);
  }
}

void Graph::add_stage(const Instruction& instruction) {
  const From& from = *instruction.as<From>();
  const dockerfile::ExpandOptions options{.escape = escape()};
  Stage stage;
  stage.index = stages_.size();
  stage.name = from.name;
  stage.range = instruction.range;
  stage.from_text = instruction.original;

  const dockerfile::Expanded expanded =
      dockerfile::expand_word(from.base, globals_.lookup(), options);
  const std::string& base = expanded.text;
  if (base.empty()) {
    std::string hint;
    if (!expanded.unmatched.empty())
      hint = *expanded.unmatched.begin() +
             " has no value: FROM sees --build-arg and the defaults of the ARGs in front of the "
             "first FROM";
    fail(instruction.range, "base name (" + from.base + ") should not be blank", std::move(hint));
  }
  if (!from.platform.empty()) {
    const std::string text =
        dockerfile::expand_word(from.platform, globals_.lookup(), options).text;
    if (text.empty()) fail(instruction.range, "empty platform value from " + from.platform);
    stage.platform = oci::parse_platform(text);
    if (!stage.platform) {
      fail(file_.source.find(instruction.range, from.platform),
           "platform '" + text + "' is not of the form OS/ARCHITECTURE[/VARIANT]");
    }
  }
  stage.base = base_origin(base, stage);
  if (const auto context = stage.name.empty() ? std::nullopt : find_context(stage.name)) {
    stage.replaced = true;
    stage.base = {Origin::Kind::named_context, 0, *context, stage.platform};
  }
  stages_.push_back(std::move(stage));
}

Origin Graph::base_origin(const std::string& name, const Stage& stage) const {
  if (const auto found = find_stage(name, stage.index)) {
    return {Origin::Kind::stage, *found, name, stage.platform};
  }
  if (name == "scratch") return {Origin::Kind::scratch, 0, name, stage.platform};
  if (const auto context = find_context(name)) {
    return {Origin::Kind::named_context, 0, *context, stage.platform};
  }
  return {Origin::Kind::image, 0, name, stage.platform};
}

Origin Graph::copy_origin(const std::string& name, size_t stage, const SourceRange& range) const {
  const size_t count = stages_.size();
  std::optional<size_t> found = find_stage(name, stage);
  if (!found) found = find_stage(name, count);
  if (const auto number = as_number(name); !found && number) {
    if (*number >= count)
      fail(range, "invalid stage index " + name,
           "the stages are numbered from 0 to " + std::to_string(count - 1));
    found = *number;
  }
  if (found && *found == stage) fail(range, "cannot copy from stage '" + name + "' into itself");
  if (found && *found >= stage) {
    fail(range, "cannot copy from stage '" + name + "': it needs to be defined before stage '" +
                    stages_[stage].label() + "'");
  }
  if (found) return {Origin::Kind::stage, *found, name, std::nullopt};
  if (name == "scratch") return {Origin::Kind::scratch, 0, name, std::nullopt};
  if (name == "context") return {Origin::Kind::context, 0, name, std::nullopt};
  if (const auto context = find_context(name)) {
    return {Origin::Kind::named_context, 0, *context, std::nullopt};
  }
  return {Origin::Kind::image, 0, name, std::nullopt};
}

Step Graph::make_step(const Instruction& instruction, size_t stage) const {
  Step step{instruction, {}, false};
  const auto origin = [&](const std::string& name) {
    if (name.empty()) return Origin{Origin::Kind::context, 0, {}, std::nullopt};
    return copy_origin(name, stage, file_.source.find(instruction.range, name));
  };
  if (const Copy* copy = instruction.as<Copy>()) {
    if (dockerfile::expand_word(copy->from, {}, {.escape = escape()}).text != copy->from) {
      fail(file_.source.find(instruction.range, copy->from),
           "variable expansion is not supported for --from",
           "define a stage of its own with FROM, which may use an ARG from in front of it");
    }
    step.origins.push_back(origin(copy->from));
  } else if (const Run* run = instruction.as<Run>()) {
    for (const dockerfile::Mount& mount : run->mounts) step.origins.push_back(origin(mount.from));
  }
  return step;
}

std::optional<size_t> Graph::find_stage(std::string_view name, size_t before) const {
  const std::string wanted = dockerfile::lower(name);
  for (size_t i = std::min(before, stages_.size()); i-- > 0;) {
    if (!wanted.empty() && stages_[i].name == wanted) return i;
  }
  return std::nullopt;
}

std::optional<std::string> Graph::find_context(const std::string& name) const {
  if (!inputs_.has_context || name == "scratch" || name == "context") return std::nullopt;
  for (const std::string& candidate : {name, familiar(name)}) {
    if (inputs_.has_context(candidate)) return candidate;
  }
  return std::nullopt;
}

void Graph::choose_target() {
  target_ = stages_.size() - 1;
  if (inputs_.target.empty()) return;
  std::optional<size_t> found = find_stage(inputs_.target, stages_.size());
  if (const auto number = as_number(inputs_.target); !found && number && *number < stages_.size()) {
    found = *number;
  }
  if (!found) {
    std::vector<std::string> names;
    for (const Stage& stage : stages_) names.push_back(stage.name);
    const std::string hint = dockerfile::did_you_mean(inputs_.target, names);
    throw Error(file_.source.name() + ": no stage '" + inputs_.target + "' for --target" +
                (hint.empty() ? "" : ", " + hint));
  }
  target_ = *found;
}

std::vector<size_t> Graph::dependencies(size_t index) const {
  std::set<size_t> found;
  const Stage& stage = stages_[index];
  if (stage.base.kind == Origin::Kind::stage) found.insert(stage.base.stage);
  if (!stage.replaced) {
    for (const Step& step : stage.steps) {
      for (const Origin& origin : step.origins) {
        if (origin.kind == Origin::Kind::stage) found.insert(origin.stage);
      }
    }
  }
  return {found.begin(), found.end()};
}

bool Graph::is_needed(size_t stage) const {
  return std::ranges::binary_search(needed_, stage);
}

// Triggers can make the target need more stages, and those have bases with triggers of their own:
// until nothing new comes. A stage only ever needs earlier ones, so one pass from the target down
// finds all, and going down once more after triggers is enough.
void Graph::resolve_needed(const BaseConfig& base_config) {
  base_configs_.resize(stages_.size());
  std::vector<bool> fired(stages_.size(), false);
  for (bool again = true; again;) {
    again = false;
    std::vector<bool> need(stages_.size(), false);
    need[target_] = true;
    for (size_t i = target_ + 1; i-- > 0;) {
      if (!need[i]) continue;
      for (const size_t dependency : dependencies(i)) need[dependency] = true;
    }
    needed_.clear();
    for (size_t i = 0; i < need.size(); ++i) {
      if (need[i]) needed_.push_back(i);
    }
    for (const size_t i : needed_) {
      if (fired[i]) continue;
      fired[i] = true;
      again = fire_triggers(stages_[i], base_config) || again;
    }
  }
  if (!inputs_.every_base) return;
  for (Stage& stage : stages_) {
    if (fired[stage.index]) continue;
    try {
      fire_triggers(stage, base_config);
    } catch (const Error&) {
      // Nothing will be built on it.
    }
  }
}

bool Graph::fire_triggers(Stage& stage, const BaseConfig& base_config) {
  std::vector<std::string> triggers;
  if (stage.base.kind == Origin::Kind::stage) {
    const Stage& base = stages_[stage.base.stage];
    for (const Step& step : base.replaced ? std::vector<Step>() : base.steps) {
      if (const Onbuild* onbuild = step.instruction.as<Onbuild>()) {
        triggers.push_back(onbuild->trigger);
      }
    }
  } else if (stage.base.kind != Origin::Kind::scratch) {
    auto& config = base_configs_[stage.index];
    if (base_config) {
      try {
        config = base_config(stage.base);
      } catch (const dockerfile::DockerfileError&) {
        throw;
      } catch (const Error& error) {
        // No such image, a registry's refusal: the FROM that asked for it is the place to look.
        fail(stage.range, error.message());
      }
    }
    if (config) triggers = config->config.on_build;
  }
  if (stage.replaced || triggers.empty()) return false;
  std::vector<Step> steps;
  for (const std::string& trigger : triggers) {
    steps.push_back(make_step(parse_trigger(trigger, file_.source, stage.range), stage.index));
    steps.back().from_trigger = true;
  }
  stage.steps.insert(stage.steps.begin(), std::make_move_iterator(steps.begin()),
                     std::make_move_iterator(steps.end()));
  return true;
}

}  // namespace kiln::stage
