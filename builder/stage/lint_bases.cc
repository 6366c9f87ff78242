// Rules about what stages start from.
#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/expander.hh"
#include "builder/stage/lint_collector.hh"

namespace kiln::stage {

namespace {

using dockerfile::Arg;
using dockerfile::From;
using dockerfile::Instruction;

// A quick look at the form of a reference: no empty part, characters that may occur.
bool may_be_reference(std::string_view name) {
  if (name.empty() || name.ends_with(':') || name.ends_with('/') || name.ends_with('@'))
    return false;
  const size_t colon = name.find(':');
  if (colon == 0 || name.starts_with('/') || name.contains("//") || name.contains("::"))
    return false;
  for (const char c : name) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      std::string_view("._-/:@[]").contains(c);
    if (!fits) return false;
  }
  return true;
}

bool has_latest(std::string_view name) {
  if (name.contains('@')) return false;
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  return colon == std::string_view::npos || name.substr(colon) == ":latest";
}

void lint_image_name(const Instruction& instruction, const std::string& name,
                     std::string_view written, LintCollector& collector) {
  if (!has_latest(name)) return;
  const char* what = name.ends_with(":latest") ? "' is whatever is newest" : "' names no version";
  collector.add("UntaggedBase", instruction, "image '" + name + what, written);
}

struct BaseLint {
  const Graph& graph;
  LintCollector& collector;
  std::set<std::string> declared;  // ARGs in front of the first FROM
  Variables defaults;              // without any build argument

  void check(const Instruction& instruction, const From& from, const Stage& stage) const {
    const dockerfile::ExpandOptions options{.escape = graph.escape()};
    const auto base = dockerfile::expand_word(from.base, graph.globals().lookup(), options);
    report_unset(instruction, base.unmatched);
    try {
      const auto plain = dockerfile::expand_word(from.base, defaults.lookup(), options).text;
      if (!may_be_reference(plain)) {
        collector.add("InvalidDefaultArgInFrom", instruction,
                      "without build arguments the base is '" + plain + "'", from.base);
      }
    } catch (const Error& error) {
      collector.add("InvalidDefaultArgInFrom", instruction, error.message(), from.base);
    }
    if (!from.platform.empty()) check_platform(instruction, from);
    if (stage.base.kind == Origin::Kind::image) {
      lint_image_name(instruction, stage.base.name, from.base, collector);
    }
    const auto& config = graph.base_config(stage.index);
    const oci::Platform wanted = stage.platform.value_or(graph.inputs().target_platform);
    if (config && !config->architecture.empty() &&
        (config->os != wanted.os || config->architecture != wanted.architecture)) {
      collector.add("InvalidBaseImagePlatform", instruction,
                    "base '" + stage.base.name + "' is for " + config->os + "/" +
                        config->architecture + ", not " + oci::platform_text(wanted),
                    from.base);
    }
  }

  void check_platform(const Instruction& instruction, const From& from) const {
    const auto platform = dockerfile::expand_word(from.platform, graph.globals().lookup(),
                                                  {.escape = graph.escape()});
    report_unset(instruction, platform.unmatched);
    if (platform.matched.size() == 1 && platform.unmatched.empty() &&
        platform.matched.contains("TARGETPLATFORM") &&
        platform.text == graph.globals().get("TARGETPLATFORM")) {
      collector.add("RedundantTargetPlatform", instruction,
                    "--platform=" + from.platform + " is the default", from.platform);
    }
    if (!platform.matched.empty() || !platform.unmatched.empty()) return;
    const auto parsed = oci::parse_platform(platform.text);
    // A stage that is named after its platform means it.
    if (!parsed || from.name.contains(parsed->os) || from.name.contains(parsed->architecture))
      return;
    collector.add("FromPlatformFlagConstDisallowed", instruction,
                  "--platform is the constant '" + from.platform + "'",
                  "--platform=" + from.platform);
  }

  void report_unset(const Instruction& instruction, const std::set<std::string>& unset) const {
    for (const std::string& name : unset) {
      if (declared.contains(name)) continue;
      std::vector<std::string> known = graph.globals().names();
      known.insert(known.end(), declared.begin(), declared.end());
      const std::string hint = dockerfile::did_you_mean(name, known);
      collector.add("UndefinedArgInFrom", instruction,
                    "ARG '" + name + "' is not declared" + (hint.empty() ? "" : ", ") + hint, name);
    }
  }
};

}  // namespace

void lint_bases(const dockerfile::Dockerfile& file, const Graph& graph, LintCollector& collector) {
  Inputs without = graph.inputs();
  without.build_args.clear();
  BaseLint lint{graph, collector, {}, platform_variables(without, graph.target().name)};
  size_t index = 0;
  for (const Instruction& instruction : file.instructions) {
    const From* from = instruction.as<From>();
    if (from != nullptr) {
      const Stage& stage = graph.stages()[index++];
      lint.check(instruction, *from, stage);
      if (graph.inputs().target.empty() && !graph.is_needed(stage.index)) {
        collector.add("UnreachableStage", instruction,
                      "nothing that the last stage needs comes from '" + stage.label() + "'");
      }
    } else if (const Arg* arg = instruction.as<Arg>(); arg != nullptr && index == 0) {
      for (const auto& definition : arg->definitions) lint.declared.insert(definition.name);
      try {
        define_global(lint.defaults, *arg, without, graph.escape());
      } catch (const Error&) {
        // ${name:?…}: an ARG that has to be given; the FROM that uses it will be reported.
      }
    }
  }
  for (const Stage& stage : graph.stages()) {
    for (const Step& step : stage.steps) {
      for (const Origin& origin : step.origins) {
        if (origin.kind != Origin::Kind::image || step.from_trigger) continue;
        lint_image_name(step.instruction, origin.name, origin.name, collector);
      }
    }
  }
}

}  // namespace kiln::stage
