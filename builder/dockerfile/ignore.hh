// Owns: the patterns of .dockerignore and `--exclude`: reading them and matching paths, as
// moby/patternmatcher does.
// Does not own: walking a context.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::dockerfile {

// The patterns of an ignore file's text: comments and blank lines gone, paths cleaned, a leading
// slash removed; "!" stays in front.
std::vector<std::string> read_ignore_file(std::string_view text);

// One compiled pattern without its "!". Matches a whole path, byte order and UTF-8 aware.
class PathPattern {
 public:
  // Throws Error for a pattern with a syntax error that is known at once.
  explicit PathPattern(std::string_view cleaned);

  // Throws Error "PATTERN: syntax error in pattern" for one whose ranges make no sense (`[z-a]`).
  bool matches(std::string_view path) const;
  const std::string& text() const { return text_; }

 private:
  enum class Kind { exact, prefix, suffix, tokens };
  struct Range {
    char32_t low;
    char32_t high;
  };
  struct Token {
    enum class Type { literal, not_slash, any_not_slash, anything, directories, set } type;
    char32_t character = 0;
    bool negated = false;
    std::vector<Range> ranges;
  };

  void compile();
  void compile_set(const std::vector<char32_t>& pattern, size_t& at);
  bool match_tokens(std::string_view path) const;
  static bool accepts(const Token& token, char32_t character);

  std::string text_;
  Kind kind_ = Kind::exact;
  std::vector<Token> tokens_;
  bool broken_ = false;
};

// A list of patterns where later ones win and "!" takes back. A path matches as well when one of
// its parents does.
class IgnoreMatcher {
 public:
  // Throws Error for a lone "!" and for malformed patterns. Blank patterns are skipped.
  explicit IgnoreMatcher(const std::vector<std::string>& patterns);

  // Which patterns matched a directory: hand it to match() for what lies inside, so that a walk
  // does not try every parent again.
  using Parent = std::vector<bool>;

  // Whether `path` (relative, slashes, no "." or ".." in it) is excluded.
  bool matches(std::string_view path) const;
  // The same inside a walk. `parent` is the result for the directory above, empty at the top.
  bool matches(std::string_view path, const Parent& parent, Parent& result) const;
  // Some "!" is among the patterns: an excluded directory may hold files that are not.
  bool has_exceptions() const { return has_exceptions_; }
  // An excluded directory that cannot hold an exception need not be walked.
  bool may_hold_exception(std::string_view directory) const;
  // "*" or the like without any exception: nothing of the context is left.
  bool ignores_everything() const;
  bool empty() const { return patterns_.empty(); }

 private:
  struct Entry {
    PathPattern pattern;
    bool exception;
  };

  std::vector<Entry> patterns_;
  bool has_exceptions_ = false;
};

// path.Clean of Go: no "." and "..", no double or trailing slash; "." when nothing is left.
std::string clean_path(std::string_view path);

}  // namespace kiln::dockerfile
