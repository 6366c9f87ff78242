// Owns: what --version prints. Does not own: the features document.
#pragma once

#include <string>
#include <string_view>

namespace vessel::cli {

inline constexpr std::string_view version = VESSEL_VERSION;

// go-runc wants lines that begin with "runc version", "commit:" and "spec:"; Docker takes a line
// that contains "version"; people want to know what it really is.
std::string version_text();

}  // namespace vessel::cli
