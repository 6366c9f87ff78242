// Owns: what a stage has become after some of its steps: environment, user, working directory, and
// the image configuration with its history.
// Does not own: files; whoever carries out the steps tells whether a layer came of it.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "builder/stage/graph.hh"
#include "builder/stage/invocation.hh"

namespace kiln::stage {

// An instruction with its variables replaced.
struct Applied {
  dockerfile::InstructionBody body;
  // Variables that were asked for and unset (for `check`).
  std::set<std::string> unset;
  // RUN, COPY, ADD, and WORKDIR other than "/": files may change.
  bool may_write = false;
};

class State {
 public:
  // The start of `stage`. `base` is the final state of its base stage; null for every other kind of
  // base, which starts from graph.base_config(), or from nothing.
  State(const Graph& graph, const Stage& stage, const State* base);

  // Expands `step` and records what it says about the image, its line of history included. Files
  // are the caller's: run or copy first or afterwards, as the returned body says.
  // Throws DockerfileError at the instruction's place.
  Applied apply(const Step& step);

  // Of the last history entry: whether the step made a layer. RUN, COPY and ADD are taken to until
  // told otherwise; WORKDIR is taken not to.
  void set_layer_made(bool made) { image_.history.back().empty_layer = !made; }

  const oci::ImageConfig& image() const { return image_; }
  oci::ImageConfig& image() { return image_; }
  const oci::Platform& platform() const { return platform_; }
  const std::string& user() const { return image_.config.user; }
  // Absolute; "/" when none was set.
  std::string working_dir() const;
  const std::vector<std::string>& shell() const { return image_.config.shell; }
  // ENV and declared ARGs, in order: what words and RUN see. Proxies are not among them.
  const Variables& variables() const { return variables_; }
  // What RUN gets as its environment, "NAME=value"; proxies of the build arguments in front.
  std::vector<std::string> run_environment() const;
  // ARGs declared so far, with the value they have; in order of declaration.
  std::vector<std::pair<std::string, std::string>> declared_arguments() const;
  // Absolute form of a destination: relative ones lie in the working directory; a trailing slash
  // (also of "." and "") stays.
  std::string absolute(std::string_view path) const;

 private:
  struct Recorder;

  void add_history(std::string created_by, bool layer);

  const Graph* graph_;
  oci::Platform platform_;
  oci::ImageConfig image_;
  Variables variables_;
  std::vector<std::string> declared_;  // names of ARGs
  bool cmd_set_ = false;               // by this stage
};

// "TERM", "SIGTERM", "15", "RTMIN+3": whether STOPSIGNAL may name it.
bool is_signal(std::string_view text);

}  // namespace kiln::stage
