#include "builder/solve/ignore_rule.hh"

#include "builder/sys/error.hh"

namespace kiln::solve {

std::shared_ptr<const dockerfile::IgnoreMatcher> matcher_of(
    const std::optional<std::string>& text) {
  if (!text) return nullptr;
  try {
    const auto matcher =
        std::make_shared<dockerfile::IgnoreMatcher>(dockerfile::read_ignore_file(*text));
    return matcher->empty() ? nullptr : matcher;
  } catch (Error& error) {
    throw error.prepend("ignore file (.dockerignore)");
  }
}

IgnoreRule rule_of(const std::shared_ptr<const dockerfile::IgnoreMatcher>& matcher) {
  if (!matcher) return {};
  return [matcher](const std::string& path, bool directory) {
    if (!matcher->matches(path)) return Verdict::keep;
    return directory && matcher->may_hold_exception(path) ? Verdict::skip_but_descend
                                                          : Verdict::skip;
  };
}

}  // namespace kiln::solve
