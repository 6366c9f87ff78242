#include <algorithm>

#include "builder/cli/verb.hh"
#include "builder/sys/edit_distance.hh"

namespace kiln::cli {

namespace {

constexpr size_t width = 80;

std::string left_side(const Option& option) {
  std::string text = option.letter ? std::string("  -") + option.letter + ", " : "      ";
  text += "--" + std::string(option.name);
  if (!option.argument.empty()) text += " " + std::string(option.argument);
  return text;
}

std::string right_side(const Option& option) {
  std::string text(option.help);
  if (!option.choices.empty()) text += " (" + std::string(option.choices) + ")";
  if (!option.initial.empty()) text += " [" + std::string(option.initial) + "]";
  if (option.repeated) text += " (repeatable)";
  return text;
}

// Appends `text` broken at spaces, each further line indented by `indent`.
void wrap(std::string& out, std::string_view text, size_t indent) {
  size_t column = indent;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    if (column > indent && column + 1 + word.size() > width) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  out += '\n';
}

void table(std::string& out, std::span<const Option> options) {
  size_t indent = 0;
  for (const Option& o : options) indent = std::max(indent, left_side(o).size() + 2);
  indent = std::min<size_t>(indent, 34);
  for (const Option& o : options) {
    std::string left = left_side(o);
    out += left;
    if (left.size() + 2 > indent)
      out += '\n' + std::string(indent, ' ');
    else
      out += std::string(indent - left.size(), ' ');
    wrap(out, right_side(o), indent);
  }
}

}  // namespace

std::string usage(const Verb& verb, std::span<const Option> globals) {
  std::string out = "usage: kiln " + std::string(verb.name);
  if (!verb.options.empty()) out += " [OPTION...]";
  if (!verb.operands.empty()) out += " " + std::string(verb.operands);
  out += "\n\n";
  wrap(out, verb.summary, 0);
  if (!verb.options.empty()) {
    out += "\noptions:\n";
    table(out, verb.options);
  }
  out += "\nalso:";
  for (const Option& o : globals) {
    out += " --" + std::string(o.name);
    if (!o.argument.empty()) out += " " + std::string(o.argument);
  }
  out += '\n';
  if (!verb.examples.empty()) {
    out += "\nexamples:\n";
    std::string_view rest = verb.examples;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      out += "  " + std::string(rest.substr(0, end)) + "\n";
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return out;
}

std::string usage(std::span<const Verb* const> verbs, std::span<const Option> globals) {
  std::string out =
      "usage: kiln [OPTION...] VERB [ARGUMENT...]\n\n"
      "Builds OCI images from Dockerfiles and keeps them, without a daemon.\n\nverbs:\n";
  size_t indent = 0;
  for (const Verb* v : verbs)
    if (!v->hidden) indent = std::max(indent, v->name.size() + 4);
  for (const Verb* v : verbs) {
    if (v->hidden) continue;
    out += "  " + std::string(v->name) + std::string(indent - 2 - v->name.size(), ' ');
    wrap(out, v->summary, indent);
  }
  out += "\noptions of all verbs:\n";
  table(out, globals);
  out += "\n'kiln VERB --help' explains a verb; kiln(1) explains all.\n";
  return out;
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.size() > 64) return {};
  std::string_view best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (std::string_view candidate : candidates) {
    const size_t d = edit_distance(word, candidate);
    if (d < best_distance) {
      best = candidate;
      best_distance = d;
    }
  }
  // A prefix is a hint even when much is missing: "hist" for "history".
  if (best.empty() && word.size() >= 3)
    for (std::string_view candidate : candidates)
      if (candidate.starts_with(word)) return candidate;
  return best;
}

}  // namespace kiln::cli
