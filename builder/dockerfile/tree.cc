// Physical lines → logical lines: directives, comments, continuations, heredoc bodies.
#include "builder/dockerfile/tree.hh"

#include <algorithm>
#include <utility>

#include "builder/dockerfile/characters.hh"

namespace kiln::dockerfile {

namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

std::string_view without_ending(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_comment(std::string_view line) {
  return trim_left(line).starts_with('#');
}

// Which directive a line holds; nullopt when it is none, which ends the directives.
std::optional<std::pair<std::string, std::string>> directive_of(std::string_view line) {
  if (!line.starts_with('#')) return std::nullopt;
  line = trim_left(line.substr(1));
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const std::string name = lower(trim_right(line.substr(0, equals)));
  const std::string_view value = trim(line.substr(equals + 1));
  if (value.empty() || (name != "syntax" && name != "escape" && name != "check")) {
    return std::nullopt;
  }
  return std::pair(name, std::string(value));
}

class TreeParser {
 public:
  explicit TreeParser(const Source& source) : source_(source), rest_(source.text()) {
    if (rest_.starts_with(byte_order_mark)) rest_.remove_prefix(byte_order_mark.size());
  }

  Tree run() {
    std::string_view line;
    while (next_line(line)) top_level(line);
    if (tree_.nodes.empty()) {
      throw DockerfileError(source_, source_.lines(1, 1), "no instructions: a Dockerfile begins with FROM");
    }
    return std::move(tree_);
  }

 private:
  // The next physical line, its ending included.
  bool next_line(std::string_view& line) {
    if (rest_.empty()) return false;
    const size_t newline = rest_.find('\n');
    const size_t size = newline == std::string_view::npos ? rest_.size() : newline + 1;
    line = rest_.substr(0, size);
    rest_.remove_prefix(size);
    ++number_;
    return true;
  }

  void top_level(std::string_view raw) {
    std::string_view line = trim_left(without_ending(raw));
    if (in_directives_) read_directive(line);
    if (line.starts_with('#')) {
      if (!was_directive_) read_comment(line);
      return;
    }
    const size_t first = number_;
    std::string logical;
    bool ended = !continues(line);
    logical += line;
    if (ended && logical.empty()) {
      comments_.clear();  // a blank line parts comments from the instruction below
      return;
    }
    bool blank_inside = false;
    while (!ended && next_line(raw)) {
      line = without_ending(raw);
      if (is_comment(line)) continue;
      if (trim_left(line).empty()) {
        blank_inside = true;
        continue;
      }
      ended = !continues(line);
      logical += line;
    }
    if (blank_inside) tree_.empty_continuations.push_back(source_.lines(number_, number_));
    add_node(logical, first);
  }

  void read_directive(std::string_view line) {
    was_directive_ = false;
    // A first line `#!…` makes the file executable; directives may follow it.
    if (number_ == 1 && line.starts_with("#!")) return;
    const auto directive = directive_of(line);
    if (!directive) {
      in_directives_ = false;
      return;
    }
    const auto& [name, value] = *directive;
    const SourceRange range = source_.lines(number_, number_);
    std::optional<Directive>& slot = name == "syntax"   ? tree_.directives.syntax
                                     : name == "escape" ? tree_.directives.escape
                                                        : tree_.directives.check;
    if (slot) {
      throw DockerfileError(source_, range, "only one " + name + " parser directive can be used");
    }
    if (name == "escape" && value != "\\" && value != "`") {
      throw DockerfileError(source_, range,
                            "invalid escape token '" + value + "': must be ` or \\");
    }
    slot = Directive{value, range};
    was_directive_ = true;
  }

  void read_comment(std::string_view line) {
    const std::string_view text = trim(line.substr(1));
    if (text.empty()) {
      comments_.clear();
    } else {
      comments_.emplace_back(text);
    }
  }

  // Whether the line ends in an escape character that no other one precedes; takes it off.
  bool continues(std::string_view& line) const {
    const char escape = tree_.directives.escape_character();
    const size_t last = line.find_last_not_of(" \t");
    if (last == std::string_view::npos || line[last] != escape) return false;
    if (last > 0 && line[last - 1] == escape) return false;
    line = line.substr(0, last);
    return true;
  }

  void add_node(const std::string& logical, size_t first) {
    Node node;
    try {
      node = parse_line(logical, tree_.directives.escape_character());
      if (takes_heredocs(node) && logical.contains("<<")) node.heredocs = heredocs_of_line(logical);
    } catch (const DockerfileError&) {
      throw;
    } catch (const Error& error) {
      throw DockerfileError(source_, source_.lines(first, number_), error.message());
    }
    for (Heredoc& heredoc : node.heredocs) read_body(heredoc, first);
    node.range = source_.lines(first, number_);
    for (Node& sub : node.sub) {
      sub.range = node.range;
      sub.heredocs = node.heredocs;
    }
    node.comments = std::exchange(comments_, {});
    tree_.nodes.push_back(std::move(node));
  }

  static bool takes_heredocs(const Node& node) {
    const Node& inner = node.sub.empty() ? node : node.sub[0];
    const std::string keyword = lower(inner.keyword);
    return (keyword == "run" || keyword == "copy" || keyword == "add") && !inner.json;
  }

  void read_body(Heredoc& heredoc, size_t first) {
    std::string_view line;
    while (next_line(line)) {
      std::string_view candidate = without_ending(line);
      if (heredoc.chomp) {
        candidate.remove_prefix(std::min(candidate.find_first_not_of('\t'), candidate.size()));
      }
      if (candidate == heredoc.name) return;
      heredoc.content += line;
    }
    const SourceRange start = source_.lines(first, first);
    throw DockerfileError(source_, source_.find(start, "<<"),
                          "unterminated heredoc: no line " + go_quoted(heredoc.name) + " follows");
  }

  const Source& source_;
  std::string_view rest_;
  size_t number_ = 0;
  bool in_directives_ = true;
  bool was_directive_ = false;
  std::vector<std::string> comments_;
  Tree tree_;
};

}  // namespace

Tree parse_tree(const Source& source) {
  return TreeParser(source).run();
}

}  // namespace kiln::dockerfile
