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

std::string bash_completion() {
  std::string text =
      "_vessel() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${COMP_WORDS[i]} in\n"
      "      --root|--log|--log-format|--rootless) ((i++)) ;;\n"
      "      -*) ;;\n"
      "      *) verb=${COMP_WORDS[i]}; break ;;\n"
      "    esac\n"
      "  done\n"
      "  local words=\n"
      "  case $verb in\n";
  auto spell_all = [](const std::vector<Option>& options) {
    std::string words;
    for (const Option& o : options) words += " --" + std::string(o.name);
    return words + " --help";
  };
  std::string names;
  for (const Verb& verb : verbs()) {
    if (verb.hidden) continue;
    names += " " + std::string(verb.name);
    text += "    " + std::string(verb.name) + ") words=\"" + spell_all(verb.options).substr(1) +
            "\" ;;\n";
  }
  text += "    '') words=\"" + names.substr(1) + spell_all(global_options()) + "\" ;;\n";
  text +=
      "  esac\n"
      "  if [[ $cur != -* && -n $verb ]]; then\n"
      "    case $prev in\n"
      "      --bundle|-b|--cwd|--root) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n"
      "      --process|-p|--resources|-r|--pid-file|--console-socket|--pidfd-socket|--log)\n"
      "        COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
      "    esac\n"
      "    words=$(vessel list --quiet 2>/dev/null)\n"
      "  fi\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "}\n"
      "complete -F _vessel vessel\n";
  return text;
}

std::string quoted(std::string_view text) {
  std::string result = "'";
  for (char c : text) {
    if (c == '\'')
      result += "'\\''";
    else
      result += c;
  }
  return result + "'";
}

std::string zsh_completion() {
  auto specs = [](const std::vector<Option>& options) {
    std::string text;
    for (const Option& o : options) {
      std::string help(o.help);
      std::erase_if(help, [](char c) { return c == '[' || c == ']' || c == ':'; });
      std::string spec = std::string(o.repeated ? "*" : "") + "--" + std::string(o.name) +
                         (o.value.empty() ? "" : "=") + "[" + help + "]";
      if (!o.value.empty()) spec += ":value:_files";
      text += " \\\n        " + quoted(spec);
    }
    return text;
  };
  std::string text = "#compdef vessel\n_vessel() {\n  local -a verbs\n  verbs=(\n";
  for (const Verb& verb : verbs())
    if (!verb.hidden)
      text += "    " + quoted(std::string(verb.name) + ":" + std::string(verb.usage)) + "\n";
  text += "  )\n  _arguments -C" + specs(global_options()) +
          " \\\n        '1:command:->verb' '*::argument:->rest'\n  case $state in\n"
          "    verb) _describe command verbs ;;\n    rest)\n      case $words[1] in\n";
  for (const Verb& verb : verbs())
    if (!verb.hidden)
      text += "      " + std::string(verb.name) + ") _arguments" + specs(verb.options) +
              " \\\n        '*:container:($(vessel list --quiet 2>/dev/null))' ;;\n";
  return text + "      esac ;;\n  esac\n}\n_vessel \"$@\"\n";
}

std::string fish_completion() {
  auto line = [](const std::string& condition, const Option& o) {
    std::string text = "complete -c vessel -n " + quoted(condition) + " -l " + std::string(o.name);
    if (o.short_name) text += std::string(" -s ") + o.short_name;
    if (!o.value.empty()) text += " -r";
    return text + " -d " + quoted(o.help) + "\n";
  };
  std::string text = "complete -c vessel -f\n";
  for (const Option& o : global_options()) text += line("__fish_use_subcommand", o);
  for (const Verb& verb : verbs()) {
    if (verb.hidden) continue;
    std::string name(verb.name);
    text += "complete -c vessel -n __fish_use_subcommand -a " + name + " -d " + quoted(verb.usage) +
            "\n";
    for (const Option& o : verb.options) text += line("__fish_seen_subcommand_from " + name, o);
    if (verb.operands.starts_with("<container-id>"))
      text += "complete -c vessel -n '__fish_seen_subcommand_from " + name +
              "' -a '(vessel list --quiet 2>/dev/null)'\n";
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

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return bash_completion();
  if (shell == "zsh") return zsh_completion();
  if (shell == "fish") return fish_completion();
  throw Error("completion: expected bash, zsh or fish, got \"" + shell + "\"");
}

}  // namespace vessel::cli
