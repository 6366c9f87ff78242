// Owns: what --version prints. Does not own: the features document.
#pragma once

#include <string>
#include <string_view>

namespace vessel::cli {

extern const std::string_view version;

// go-runc wants lines that begin with "runc version", "commit:" and "spec:"; Docker takes a line
// that contains "version"; people want to know what it really is.
std::string version_text();

}  // namespace vessel::cli
