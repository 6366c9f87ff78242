// One logical line → node: each keyword has its own way to read the arguments.
#include <map>
#include <nlohmann/json.hpp>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/tree.hh"
#include "builder/dockerfile/words.hh"

namespace kiln::dockerfile {

namespace {

using LineReader = void (*)(Node& node, std::string_view text, char escape);

// A JSON array of strings, or false when the text is none. Exactly JSON: what is almost JSON is a
// shell command that begins with a bracket.
bool read_json(Node& node, std::string_view text) {
  text = trim_left(text);
  if (!text.starts_with('[')) return false;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_array()) return false;
  std::vector<std::string> words;
  for (const auto& element : json) {
    if (!element.is_string()) {
      throw Error("when using JSON array syntax, arrays must be comprised of strings only");
    }
    words.push_back(element.get<std::string>());
  }
  node.arguments.insert(node.arguments.end(), words.begin(), words.end());
  node.json = true;
  return true;
}

void read_text(Node& node, std::string_view text, char) {
  if (!text.empty()) node.arguments.emplace_back(text);
}

void read_blank_separated(Node& node, std::string_view text, char) {
  if (!text.empty()) node.arguments = split_blank(text);
}

void read_json_or_text(Node& node, std::string_view text, char escape) {
  if (!text.empty() && !read_json(node, text)) read_text(node, text, escape);
}

void read_json_or_list(Node& node, std::string_view text, char escape) {
  if (!read_json(node, text)) read_blank_separated(node, text, escape);
}

void read_words(Node& node, std::string_view text, char escape) {
  node.arguments = split_quoted(text, escape);
}

void read_key_values(Node& node, std::string_view text, char escape) {
  const std::vector<std::string> words = split_quoted(text, escape);
  if (words.empty()) return;
  if (!words[0].contains('=')) {
    // The old form: one name, and all the rest is its value.
    const std::vector<std::string> halves = split_blank(text, 2);
    if (halves.size() < 2)
      throw Error(upper(node.keyword) + " needs a name and a value, as NAME=VALUE");
    node.arguments = {halves[0], halves[1], ""};
    return;
  }
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      throw Error("can't find = in " + go_quoted(word) + ": must be of the form name=value");
    }
    node.arguments.push_back(word.substr(0, equals));
    node.arguments.push_back(word.substr(equals + 1));
    node.arguments.emplace_back("=");
  }
}

void read_healthcheck(Node& node, std::string_view text, char escape) {
  const size_t end = std::min(text.find_first_of(" \t\n\v\f\r"), text.size());
  if (end == 0) return;
  node.arguments.emplace_back(text.substr(0, end));
  read_json_or_text(node, trim_left(text.substr(end)), escape);
}

void read_instruction(Node& node, std::string_view text, char escape) {
  if (text.empty()) return;
  // Refused here and not later: a long chain of them must not become a deep recursion.
  if (lower(split_command(text.substr(0, 16), escape).keyword) == "onbuild") {
    throw Error("ONBUILD isn't allowed as an ONBUILD trigger");
  }
  node.sub.push_back(parse_line(text, escape));
}

// An unknown keyword keeps its place in the tree; its arguments mean nothing.
void read_unknown(Node& node, std::string_view, char) {
  node.arguments.emplace_back();
}

LineReader reader_of(const std::string& keyword) {
  static const std::map<std::string, LineReader, std::less<>> readers = {
      {"add", read_json_or_list},        {"arg", read_words},
      {"cmd", read_json_or_text},        {"copy", read_json_or_list},
      {"entrypoint", read_json_or_text}, {"env", read_key_values},
      {"expose", read_blank_separated},  {"from", read_blank_separated},
      {"healthcheck", read_healthcheck}, {"label", read_key_values},
      {"maintainer", read_text},         {"onbuild", read_instruction},
      {"run", read_json_or_text},        {"shell", read_json_or_text},
      {"stopsignal", read_text},         {"user", read_text},
      {"volume", read_json_or_list},     {"workdir", read_text},
  };
  const auto found = readers.find(lower(keyword));
  return found == readers.end() ? read_unknown : found->second;
}

std::string node_text(const Node& node) {
  std::string text = lower(node.keyword);
  if (!node.flags.empty()) {
    text += " [";
    for (size_t i = 0; i < node.flags.size(); ++i)
      text += (i ? " " : "") + go_quoted(node.flags[i]);
    text += ']';
  }
  for (const std::string& argument : node.arguments)
    text.append(1, ' ').append(go_quoted(argument));
  for (const Node& sub : node.sub) text.append(" (").append(node_text(sub)).append(")");
  return text;
}

}  // namespace

Node parse_line(std::string_view line, char escape) {
  CommandParts parts = split_command(line, escape);
  Node node;
  node.keyword = std::move(parts.keyword);
  node.flags = std::move(parts.flags);
  node.original = line;
  reader_of(node.keyword)(node, parts.arguments, escape);
  return node;
}

std::string tree_text(const Tree& tree) {
  std::string text;
  for (const Node& node : tree.nodes) text.append("(").append(node_text(node)).append(")\n");
  return text;
}

}  // namespace kiln::dockerfile
