// completion_script of help.hh: what a shell is told, all of it from the tables of verbs and
// options.
#include <algorithm>

#include "runtime/cli/help.hh"
#include "runtime/cli/verbs.hh"

namespace vessel::cli {

namespace {

// Containers in one of the statuses that the first argument names ("running|paused"); the others
// are --root and its directory. For bash and zsh; fish has its own words for functions.
constexpr std::string_view containers_function =
    "_vessel_containers() {\n"
    "  local statuses=$1; shift\n"
    "  vessel \"$@\" list 2>/dev/null | awk -v s=\"^($statuses)$\" 'NR > 1 && $3 ~ s { print $1 "
    "}'\n"
    "}\n";

std::string spell_all(const std::vector<Option>& options) {
  std::string words;
  for (const Option& o : options) words += "--" + std::string(o.name) + " ";
  return words + "--help";
}

bool names_file(const Option& o) {
  return o.value == "FILE" || o.value == "PATH" || o.value == "SOCKET";
}

// "--name|-n", each behind `verb` and a colon.
std::string bash_pattern(std::string_view verb, const Option& o) {
  std::string pattern = std::string(verb) + ":--" + std::string(o.name);
  if (o.short_name) pattern += "|" + std::string(verb) + ":-" + o.short_name;
  return pattern;
}

std::string bash_value(std::string_view verb, const Option& o) {
  if (o.value.empty()) return {};
  std::string_view how = o.value == "DIR" ? "compgen -d -- \"$cur\""
                         : names_file(o)  ? "compgen -f -- \"$cur\""
                                          : "";
  return "    " + bash_pattern(verb, o) + ") COMPREPLY=(" +
         (how.empty() ? "" : "$(" + std::string(how) + ")") + "); return ;;\n";
}

std::string bash_completion() {
  std::string text = "# bash completion for vessel, made from its option tables\n";
  text += containers_function;
  text +=
      "_vessel() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} at=$COMP_CWORD verb= i prev\n"
      "  local root=()\n"
      "  # bash parts --option=value at '='.\n"
      "  if [[ $cur == = ]]; then cur=; elif [[ $at -gt 1 && ${COMP_WORDS[at-1]} == = ]]; then "
      "((at--)); fi\n"
      "  prev=${COMP_WORDS[at-1]}\n"
      "  for ((i = 1; i < at; i++)); do\n"
      "    case ${COMP_WORDS[i]} in\n"
      "      --root) [[ ${COMP_WORDS[i+1]} == = ]] && ((i++)); root=(--root "
      "\"${COMP_WORDS[i+1]}\"); ((i++)) ;;\n"
      "      --log|--log-format|--rootless) [[ ${COMP_WORDS[i+1]} == = ]] && ((i++)); ((i++)) ;;\n"
      "      -*) ;;\n"
      "      *) verb=${COMP_WORDS[i]}; break ;;\n"
      "    esac\n"
      "  done\n"
      "  case $verb:$prev in\n";
  for (const Option& o : global_options()) text += bash_value("", o);
  std::string names, rest;
  for (const Verb& verb : verbs()) {
    if (verb.hidden) continue;
    names += std::string(verb.name) + " ";
    for (const Option& o : verb.options) text += bash_value(verb.name, o);
    rest += "    " + std::string(verb.name) + ") if [[ $cur == -* ]]; then words='" +
            spell_all(verb.options) + "'; ";
    if (!verb.containers.empty())
      rest += "else words=$(_vessel_containers '" + std::string(verb.containers) +
              "' \"${root[@]}\"); ";
    rest += "fi ;;\n";
  }
  text += "  esac\n  local words=\n  case $verb in\n    '') words='" + names +
          spell_all(global_options()) + "' ;;\n" + rest +
          "  esac\n"
          "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "}\n"
          "complete -o bashdefault -F _vessel vessel\n";
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

std::string zsh_specs(const std::vector<Option>& options) {
  std::string text;
  for (const Option& o : options) {
    std::string help(o.help);
    std::erase_if(help, [](char c) { return c == '[' || c == ']' || c == ':'; });
    const std::string action = o.value == "DIR" ? "_files -/" : names_file(o) ? "_files" : " ";
    const std::string tail = "[" + help + "]" + (o.value.empty() ? "" : ":value:" + action);
    const std::string star = o.repeated ? "*" : "";
    text += " \\\n        " +
            quoted(star + "--" + std::string(o.name) + (o.value.empty() ? "" : "=") + tail);
    if (o.short_name) text += " " + quoted(star + "-" + std::string(1, o.short_name) + tail);
  }
  return text;
}

std::string zsh_completion() {
  std::string text = "#compdef vessel\n# zsh completion for vessel, made from its option tables\n";
  text += containers_function;
  text +=
      "_vessel() {\n  local curcontext=$curcontext state line\n  typeset -A opt_args\n"
      "  local -a verbs root\n  verbs=(\n";
  for (const Verb& verb : verbs())
    if (!verb.hidden)
      text += "    " + quoted(std::string(verb.name) + ":" + std::string(verb.usage)) + "\n";
  text += "  )\n  _arguments -C" + zsh_specs(global_options()) +
          " \\\n        '1:command:->verb' '*::argument:->rest'\n"
          "  [[ -n $opt_args[--root] ]] && root=(--root \"${(Q)opt_args[--root]}\")\n"
          "  case $state in\n"
          "    verb) _describe command verbs ;;\n    rest)\n      case $words[1] in\n";
  for (const Verb& verb : verbs()) {
    if (verb.hidden) continue;
    text += "      " + std::string(verb.name) + ") _arguments" + zsh_specs(verb.options);
    if (!verb.containers.empty())
      text += " \\\n        \"*:container:($(_vessel_containers '" + std::string(verb.containers) +
              "' $root))\"";
    text += " ;;\n";
  }
  return text + "      esac ;;\n  esac\n}\ncompdef _vessel vessel\n";
}

std::string fish_completion() {
  std::string text =
      "# fish completion for vessel, made from its option tables\n"
      "function __vessel_containers\n"
      "  set -l words (commandline -opc)\n"
      "  set -l root\n"
      "  for i in (seq (count $words))\n"
      "    test \"$words[$i]\" = --root; and set root --root $words[(math $i + 1)]\n"
      "    string match -q -- '--root=*' $words[$i]; and set root $words[$i]\n"
      "  end\n"
      "  vessel $root list 2>/dev/null | awk -v s=\"^($argv[1])\\$\" 'NR > 1 && $3 ~ s { print $1 "
      "}'\n"
      "end\n"
      "complete -c vessel -f\n";
  const auto line = [](const std::string& condition, const Option& o) {
    std::string row = "complete -c vessel -n " + quoted(condition) + " -l " + std::string(o.name);
    if (o.short_name) row += std::string(" -s ") + o.short_name;
    if (o.value == "DIR")
      row += " -xa '(__fish_complete_directories)'";
    else if (!o.value.empty())
      row += names_file(o) ? " -rF" : " -x";
    return row + " -d " + quoted(o.help) + "\n";
  };
  for (const Option& o : global_options()) text += line("__fish_use_subcommand", o);
  for (const Verb& verb : verbs()) {
    if (verb.hidden) continue;
    const std::string name(verb.name);
    text += "complete -c vessel -n __fish_use_subcommand -a " + name + " -d " + quoted(verb.usage) +
            "\n";
    for (const Option& o : verb.options) text += line("__fish_seen_subcommand_from " + name, o);
    if (!verb.containers.empty())
      text += "complete -c vessel -n '__fish_seen_subcommand_from " + name +
              "' -a '(__vessel_containers \"" + std::string(verb.containers) + "\")'\n";
  }
  return text;
}

}  // namespace

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return bash_completion();
  if (shell == "zsh") return zsh_completion();
  if (shell == "fish") return fish_completion();
  throw Error("completion: expected bash, zsh or fish, got \"" + shell + "\"");
}

}  // namespace vessel::cli
