// Owns: a build whose result is for another verb. Does not own: the command line
// (build_request.hh).
#pragma once

#include <functional>

#include "builder/cli/verb.hh"
#include "builder/solve/request.hh"
#include "builder/solve/result.hh"
#include "builder/store/store.hh"

namespace kiln::cli {

// Gets the image, which has no name in the store; returns the exit status.
using UseResult = std::function<int(Store& store, const solve::ResultImage& image)>;

// The last operand is the context; of the options of build_options those that say where results go
// are not asked for. Failures are printed; returns the exit status.
int build_for(const Arguments& arguments, solve::BuildRequest request, const UseResult& use);

}  // namespace kiln::cli
