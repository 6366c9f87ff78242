#include "runtime/cli/help.hh"

#include <algorithm>

#include "runtime/cli/verbs.hh"

namespace vessel::cli {

namespace {

std::string spelled(const Option& option) {
  std::string text = "--" + std::string(option.name);
  if (!option.value.empty()) text.append(" ").append(option.value);
  if (option.short_name) text.append(", -").append(1, option.short_name);
  return text;
}

std::string option_lines(const std::vector<Option>& options) {
  constexpr Option help{.name = "help", .short_name = 'h', .help = "show this help"};
  std::vector<Option> all = options;
  all.push_back(help);
  size_t width = 0;
  for (const Option& o : all) width = std::max(width, spelled(o).size());
  std::string text = "OPTIONS:\n";
  for (const Option& o : all) {
    std::string line = "   " + spelled(o);
    line.append(width + 6 - line.size(), ' ').append(o.help);
    if (!o.default_value.empty()) line.append(" (default: ").append(o.default_value).append(")");
    text += line + "\n";
  }
  return text;
}

}  // namespace

std::string program_help() {
  std::string text =
      "NAME:\n   vessel - runs OCI containers\n\n"
      "USAGE:\n   vessel [global options] <command> [options] [arguments]\n\nCOMMANDS:\n";
  for (const Verb& verb : verbs()) {
    if (verb.hidden) continue;
    std::string line = "   " + std::string(verb.name);
    line.append(15 - line.size(), ' ').append(verb.usage);
    text += line + "\n";
  }
  return text + "\nGLOBAL " + option_lines(global_options());
}

std::string verb_help(const Verb& verb) {
  std::string text = "NAME:\n   vessel " + std::string(verb.name) + " - " +
                     std::string(verb.usage) + "\n\nUSAGE:\n   vessel " + std::string(verb.name) +
                     " [options]";
  if (!verb.operands.empty()) text += " " + std::string(verb.operands);
  if (!verb.description.empty()) text += "\n\nDESCRIPTION:\n   " + std::string(verb.description);
  return text + "\n\n" + option_lines(verb.options);
}

}  // namespace vessel::cli
