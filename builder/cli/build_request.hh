// Owns: reading `kiln build`'s options into a request, checked. Does not own: the option table
// (build.cc) or the build.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "builder/cli/verb.hh"
#include "builder/solve/request.hh"
#include "builder/solve/result.hh"

namespace kiln::cli {

// One --output.
struct BuildOutput {
  enum class Type : uint8_t { image, oci, docker, tar, local };
  Type type = Type::image;
  std::string destination;         // path, "-" for standard output; "" where none is needed
  std::vector<std::string> names;  // name= of type=image
  bool push = false;
  bool as_tar = true;  // oci: false writes a directory
};

// All throw UsageError that names the option and what would be right.
solve::BuildRequest build_request(const Arguments& arguments);
std::vector<BuildOutput> build_outputs(const Arguments& arguments);
// What the layers are made as, however many outputs take them: --compression and every
// --output compression= have to name the same.
Compression build_compression(const Arguments& arguments);
solve::ResultOptions result_options(const Arguments& arguments);

}  // namespace kiln::cli
