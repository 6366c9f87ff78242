// Owns: `run`: create, start and, in the foreground, wait and delete.
// Does not own: the steps themselves (create.hh, lifecycle.hh, foreground.hh).
#pragma once

#include "runtime/operations/create.hh"

namespace vessel {

struct RunRequest {
  CreateRequest create;
  bool subreaper = true;
  bool keep = false;
};

// The exit code of init; 0 when detached.
int run_container(RunRequest request);

}  // namespace vessel
