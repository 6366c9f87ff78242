// Rules that follow each stage step by step.
#include <algorithm>
#include <optional>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/expander.hh"
#include "builder/dockerfile/ignore.hh"
#include "builder/stage/lint_collector.hh"
#include "builder/stage/ports.hh"
#include "builder/stage/state.hh"

namespace kiln::stage {

namespace {

using dockerfile::Instruction;

// What is known of a stage when its last step is done.
struct Followed {
  std::optional<State> state;  // none when a step could not be followed
  bool whole = true;           // the environment of the base is known
  bool workdir_set = false;
};

bool is_remote(std::string_view source) {
  return source.contains("://") || source.starts_with("git@");
}

bool is_archive(std::string_view source) {
  for (const std::string_view end :
       {".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".zst"}) {
    if (source.ends_with(end)) return true;
  }
  // Wildcards and directories may stand for archives.
  return source.contains('*') || source.contains('?');
}

bool sets_errexit(std::string_view text) {
  for (size_t at = text.find("set "); at != std::string_view::npos;
       at = text.find("set ", at + 1)) {
    const std::string_view rest = text.substr(at + 4, text.find('\n', at) - at - 4);
    if (rest.contains("errexit")) return true;
    if (rest.starts_with('-') && rest.substr(0, rest.find(' ')).contains('e')) return true;
  }
  return false;
}

bool shell_has_errexit(const std::vector<std::string>& shell) {
  for (size_t i = 1; i < shell.size(); ++i) {
    const std::string& word = shell[i];
    if (word == "errexit") return true;
    if (word.size() > 1 && word[0] == '-' && word[1] != '-' && word.contains('e')) return true;
  }
  return false;
}

class StageLint {
 public:
  StageLint(const Stage& stage, const dockerfile::IgnoreMatcher* ignore, LintCollector& collector,
            Followed& followed, char escape)
      : stage_(stage),
        ignore_(ignore),
        collector_(collector),
        followed_(followed),
        escape_(escape) {}

  void run() {
    for (const Step& step : stage_.steps) {
      const std::vector<std::string> shell = followed_.state->shell();
      Applied applied = followed_.state->apply(step);
      if (step.from_trigger) continue;
      report_unset(step.instruction, applied);
      std::visit([&](const auto& body) { check(step, body, shell); }, applied.body);
    }
  }

 private:
  void report_unset(const Instruction& instruction, const Applied& applied) {
    for (const std::string& name : applied.unset) {
      const std::string hint =
          dockerfile::did_you_mean("$" + name, dollar_names(followed_.state->variables()));
      // Where the base's variables are not known, only a likely slip is worth a word.
      if (!followed_.whole && hint.empty()) continue;
      collector_.add("UndefinedVar", instruction,
                     "variable '$" + name + "' is not defined" + (hint.empty() ? "" : ", ") + hint,
                     written(instruction, name));
    }
  }

  // The reference as it stands in the text, for the carets: `$name` or `${name`.
  static std::string written(const Instruction& instruction, const std::string& name) {
    const std::string braced = "${" + name;
    if (instruction.original.contains(braced)) return braced;
    return "$" + name;
  }

  static std::vector<std::string> dollar_names(const Variables& variables) {
    std::vector<std::string> names;
    for (const std::string& name : variables.names()) names.push_back("$" + name);
    return names;
  }

  void once(const Instruction& instruction, const Instruction*& previous) {
    if (previous != nullptr) {
      collector_.add("MultipleInstructionsDisallowed", *previous,
                     "another " + dockerfile::upper(instruction.keyword) + " follows in line " +
                         std::to_string(instruction.range.first_line));
    }
    previous = &instruction;
  }

  void shell_form(const Instruction& instruction, const dockerfile::CommandLine& command,
                  const std::vector<std::string>& shell) {
    // A SHELL of one's own says that the shell is meant.
    if (!command.shell_form || command.words.empty() || !shell.empty()) return;
    collector_.add("JSONArgsRecommended", instruction,
                   dockerfile::upper(instruction.keyword) + " in shell form");
  }

  void sources(const Step& step, const std::vector<std::string>& sources) {
    if (ignore_ == nullptr) return;
    for (const std::string& source : sources) {
      if (is_remote(source)) continue;
      std::string path = dockerfile::clean_path(source);
      if (path.size() > 1 && path[0] == '/') path.erase(0, 1);
      const bool root = path == "." || path == "/";
      const bool ignored = root ? ignore_->ignores_everything()
                                : ignore_->matches(path) && !ignore_->may_hold_exception(path);
      if (!ignored) continue;
      collector_.add("CopyIgnoredFile", step.instruction,
                     "'" + source + "' is excluded by the ignore file", source);
    }
  }

  using Words = std::vector<std::string>;
  template <class Other>
  void check(const Step&, const Other&, const Words&) {}

  void check(const Step& step, const dockerfile::Cmd& cmd, const Words& shell) {
    once(step.instruction, cmd_);
    shell_form(step.instruction, cmd.command, shell);
  }
  void check(const Step& step, const dockerfile::Entrypoint& entrypoint, const Words& shell) {
    once(step.instruction, entrypoint_);
    shell_form(step.instruction, entrypoint.command, shell);
  }
  void check(const Step& step, const dockerfile::Healthcheck&, const Words&) {
    once(step.instruction, healthcheck_);
  }
  void check(const Step& step, const dockerfile::Workdir&, const Words&) {
    const std::string& written = step.instruction.as<dockerfile::Workdir>()->path;
    const auto path = dockerfile::expand_word(written, followed_.state->variables().lookup(),
                                              {.escape = escape_});
    // A variable that may be one of the base's may hold any path.
    const bool unknown = written.starts_with('$') && !path.unmatched.empty();
    if (!followed_.workdir_set && !unknown && !path.text.starts_with('/')) {
      collector_.add("WorkdirRelativePath", step.instruction,
                     "relative WORKDIR '" + written + "' and no absolute one above it", written);
    }
    followed_.workdir_set = true;
  }
  void check(const Step& step, const dockerfile::Expose& expose, const Words&) {
    for (const std::string& text : expose.ports) {
      const Ports ports = parse_ports(text);
      if (ports.protocol != dockerfile::lower(ports.protocol)) {
        collector_.add("ExposeProtoCasing", step.instruction,
                       "protocol of '" + text + "' should be lowercase", text);
      }
      if (ports.mapping) {
        collector_.add("ExposeInvalidFormat", step.instruction,
                       "'" + text + "' maps a host's address or port", text);
      }
    }
  }
  void check(const Step& step, const dockerfile::Copy& copy, const Words&) {
    if (copy.from.empty()) sources(step, copy.sources);
  }
  void check(const Step& step, const dockerfile::Add& add, const Words&) {
    sources(step, add.sources);
    const bool plain = std::ranges::none_of(add.sources, [](const std::string& source) {
      return is_remote(source) || is_archive(source);
    });
    if (plain && !add.sources.empty()) {
      collector_.add("AddForLocalFile", step.instruction, "ADD of local files");
    }
  }
  void check(const Step& step, const dockerfile::Run& run, const Words& shell) {
    if (!run.command.shell_form || run.command.words.empty()) return;
    std::string text = invocation_of(run, {"sh"}).argv.back();
    const bool updates = text.contains("apt-get update") || text.contains("apt update");
    if (updates && !text.contains("install") && !text.contains("upgrade")) {
      collector_.add("PackageListAlone", step.instruction, "package lists updated and not used");
    }
    const std::string_view line = dockerfile::trim(text);
    if (line.starts_with("cd ") && line.find_first_of(";&|\n") == std::string_view::npos) {
      collector_.add("CdWithoutEffect", step.instruction, "cd ends with its RUN");
    }
    if (run.heredocs.empty() || text == run.command.words[0]) return;
    const bool lone = !text.starts_with(run.command.words[0]);  // the body is the program
    const auto lines = std::ranges::count(dockerfile::trim(text), '\n') + 1;
    if (lone && lines > 1 && !text.starts_with("#!") && !sets_errexit(text) &&
        !shell_has_errexit(shell)) {
      collector_.add("HeredocWithoutErrexit", step.instruction,
                     "several commands, and a failure of any but the last goes unnoticed");
    }
  }

  const Stage& stage_;
  const dockerfile::IgnoreMatcher* ignore_;
  LintCollector& collector_;
  Followed& followed_;
  char escape_;
  const Instruction* cmd_ = nullptr;
  const Instruction* entrypoint_ = nullptr;
  const Instruction* healthcheck_ = nullptr;
};

void lint_user(const Stage& target, const State& state, LintCollector& collector) {
  const std::string name = state.user().substr(0, state.user().find(':'));
  if (!name.empty() && name != "root" && name != "0") return;
  collector.add("NoUser", target.range,
                name.empty() ? "the image runs as root: no USER is set"
                             : "the image runs as root by USER " + state.user());
}

}  // namespace

void lint_states(const Graph& graph, const dockerfile::IgnoreMatcher* ignore,
                 LintCollector& collector) {
  std::vector<Followed> done(graph.stages().size());
  for (const Stage& stage : graph.stages()) {
    Followed& followed = done[stage.index];
    if (stage.base.kind == Origin::Kind::stage) {
      const Followed& base = done[stage.base.stage];
      if (!base.state) continue;
      followed.whole = base.whole;
      followed.workdir_set = base.workdir_set;
      followed.state.emplace(graph, stage, &*base.state);
    } else {
      followed.whole =
          stage.base.kind == Origin::Kind::scratch || graph.base_config(stage.index).has_value();
      followed.state.emplace(graph, stage, nullptr);
    }
    if (stage.replaced) continue;
    try {
      StageLint(stage, ignore, collector, followed, graph.escape()).run();
    } catch (const dockerfile::DockerfileError&) {
      // A stage that the target does not need may ask for arguments that nobody gave.
      if (graph.is_needed(stage.index)) throw;
      followed.state.reset();
    }
  }
  const Stage& target = graph.target();
  if (const auto& state = done[target.index].state) lint_user(target, *state, collector);
}

}  // namespace kiln::stage
