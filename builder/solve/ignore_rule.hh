// Owns: the text of a .dockerignore as the rule by which a context leaves things out.
// Does not own: the patterns (dockerfile/ignore.hh), which file it is, walking (context/).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "builder/context/context.hh"
#include "builder/dockerfile/ignore.hh"

namespace kiln::solve {

// Null for no text, and for one without patterns. Error: a malformed pattern.
std::shared_ptr<const dockerfile::IgnoreMatcher> matcher_of(const std::optional<std::string>& text);

// What is excluded is skipped, but for directories that may hold an exception.
IgnoreRule rule_of(const std::shared_ptr<const dockerfile::IgnoreMatcher>& matcher);

}  // namespace kiln::solve
