// Owns: what each instruction does to a stage's state; one overload for each.
// Does not own: expansion, which has happened already (but for ARG).
#pragma once

#include <string>

#include "builder/stage/state.hh"

namespace kiln::stage {

struct State::Recorder {
  State& state;
  const dockerfile::Instruction& instruction;
  const dockerfile::Expansion& expansion;
  Applied& applied;

  void operator()(dockerfile::From&) const {}
  void operator()(dockerfile::Run& run) const;
  void operator()(dockerfile::Copy& copy) const;
  void operator()(dockerfile::Add& add) const;
  void operator()(dockerfile::Cmd& cmd) const;
  void operator()(dockerfile::Entrypoint& entrypoint) const;
  void operator()(dockerfile::Env& env) const;
  void operator()(dockerfile::Label& label) const;
  void operator()(dockerfile::Arg& arg) const;
  void operator()(dockerfile::Expose& expose) const;
  void operator()(dockerfile::Volume& volume) const;
  void operator()(dockerfile::User& user) const;
  void operator()(dockerfile::Workdir& workdir) const;
  void operator()(dockerfile::Stopsignal& stopsignal) const;
  void operator()(dockerfile::Shell& shell) const;
  void operator()(dockerfile::Healthcheck& healthcheck) const;
  void operator()(dockerfile::Onbuild& onbuild) const;
  void operator()(dockerfile::Maintainer& maintainer) const;

  oci::ContainerConfig& config() const { return state.image_.config; }
};

}  // namespace kiln::stage
