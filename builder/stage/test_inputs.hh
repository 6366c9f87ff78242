// Owns: what unit tests of stages take for granted. Does not own: what each of them tries.
#pragma once

#include "builder/stage/inputs.hh"

namespace kiln::stage {

inline Inputs amd64() {
  Inputs inputs;
  inputs.build_platform = {"amd64", "linux", "", {}, ""};
  inputs.target_platform = inputs.build_platform;
  return inputs;
}

}  // namespace kiln::stage
