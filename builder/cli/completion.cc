#include <algorithm>

#include "builder/cli/output.hh"
#include "builder/cli/verbs.hh"

namespace kiln::cli {

namespace {

template <class F>
void for_visible(F&& f) {
  for (const Verb* v : verbs())
    if (!v->hidden) f(*v);
}

// Options of a verb, then the global ones.
std::vector<const Option*> options_of(const Verb& verb) {
  std::vector<const Option*> all;
  for (const Option& o : verb.options) all.push_back(&o);
  for (const Option& o : global_options()) all.push_back(&o);
  return all;
}

std::string spaced(std::string_view choices) {
  std::string text(choices);
  std::ranges::replace(text, '|', ' ');
  return text;
}

std::string quoted(std::string_view text, std::string_view escaped, char by) {
  std::string out;
  for (char c : text) {
    if (escaped.find(c) != escaped.npos) out += by;
    out += c;
  }
  return out;
}

constexpr std::string_view image_names = "kiln images --format '{{.Name}}' 2>/dev/null";

std::string bash_words(Completes what, std::string_view choices) {
  if (!choices.empty()) return "COMPREPLY=($(compgen -W '" + spaced(choices) + "' -- \"$cur\"))";
  switch (what) {
    case Completes::file:
      return "COMPREPLY=($(compgen -f -- \"$cur\"))";
    case Completes::directory:
      return "COMPREPLY=($(compgen -d -- \"$cur\"))";
    case Completes::image:
      return "COMPREPLY=($(compgen -W \"$(" + std::string(image_names) + ")\" -- \"$cur\"))";
    case Completes::nothing:
      break;
  }
  return "COMPREPLY=()";
}

std::string bash() {
  std::string names;
  for_visible([&](const Verb& v) { names += std::string(v.name) + " "; });
  std::string out =
      "# bash completion for kiln, made from its option tables\n"
      "_kiln() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${COMP_WORDS[i]} in\n"
      "      --store) ((i++)) ;;\n"
      "      -*) ;;\n"
      "      *) verb=${COMP_WORDS[i]}; break ;;\n"
      "    esac\n"
      "  done\n"
      "  case $verb:$prev in\n"
      "    *:--store) COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n";
  for_visible([&](const Verb& v) {
    for (const Option& o : v.options) {
      if (o.argument.empty()) continue;
      std::string pattern = std::string(v.name) + ":--" + std::string(o.name);
      if (o.letter) pattern += "|" + std::string(v.name) + ":-" + o.letter;
      out += "    " + pattern + ") " + bash_words(o.completes, o.choices) + "; return ;;\n";
    }
  });
  out += "  esac\n  case $verb in\n    '') COMPREPLY=($(compgen -W '" + names +
         "--store --debug --help --version' -- \"$cur\")) ;;\n";
  for_visible([&](const Verb& v) {
    std::string words;
    for (const Option* o : options_of(v)) words += "--" + std::string(o->name) + " ";
    words.pop_back();
    out += "    " + std::string(v.name) + ") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '" +
           words + "' -- \"$cur\")); else " + bash_words(v.completes, {}) + "; fi ;;\n";
  });
  out += "  esac\n}\ncomplete -o filenames -o bashdefault -F _kiln kiln\n";
  return out;
}

std::string zsh_action(Completes what, std::string_view choices) {
  if (!choices.empty()) return "(" + spaced(choices) + ")";
  switch (what) {
    case Completes::file:
      return "_files";
    case Completes::directory:
      return "_files -/";
    case Completes::image:
      return "_kiln_images";
    case Completes::nothing:
      break;
  }
  return " ";
}

std::string zsh() {
  std::string out =
      "#compdef kiln\n# zsh completion for kiln, made from its option tables\n"
      "_kiln_images() {\n  local -a names\n  names=(${(f)\"$(" +
      std::string(image_names) +
      ")\"})\n  compadd -a names\n}\n"
      "_kiln() {\n  local curcontext=$curcontext state line\n  local -a verbs\n  verbs=(\n";
  for_visible([&](const Verb& v) {
    // In double quotes, as texts have apostrophes.
    out += "    \"" + std::string(v.name) + ":" +
           quoted(quoted(v.summary, ":", '\\'), "\"$`", '\\') + "\"\n";
  });
  out +=
      "  )\n  _arguments -C '--store[where images are kept]:directory:_files -/' "
      "'--debug[print each step]' '--help[explain]' '1: :->verb' '*:: :->rest'\n"
      "  case $state in\n    verb) _describe verb verbs ;;\n    rest) case $line[1] in\n";
  for_visible([&](const Verb& v) {
    out += "      " + std::string(v.name) + ") _arguments -s";
    for (const Option* o : options_of(v)) {
      const std::string help = quoted(quoted(o->help, "[]:", '\\'), "\"$`", '\\');
      const std::string argument =
          o->argument.empty()
              ? ""
              : ":" + quoted(o->argument, ":[]", '\\') + ":" + zsh_action(o->completes, o->choices);
      const std::string star = o->repeated ? "*" : "";
      out += " \\\n        \"" + star + "--" + std::string(o->name) +
             (o->argument.empty() ? "" : "=") + "[" + help + "]" + argument + "\"";
      if (o->letter)
        out += " \"" + star + "-" + std::string(1, o->letter) + "[" + help + "]" + argument + "\"";
    }
    out += " \\\n        \"*: :" + zsh_action(v.completes, {}) + "\" ;;\n";
  });
  out += "    esac ;;\n  esac\n}\ncompdef _kiln kiln\n";
  return out;
}

std::string fish() {
  const auto text = [](std::string_view s) { return "'" + quoted(s, "'\\", '\\') + "'"; };
  std::string out =
      "# fish completion for kiln, made from its option tables\ncomplete -c kiln -f\n"
      "complete -c kiln -n __fish_use_subcommand -l store -r -a '(__fish_complete_directories)'\n";
  const auto arguments = [&](Completes what, std::string_view choices) -> std::string {
    if (!choices.empty()) return " -xa " + text(spaced(choices));
    switch (what) {
      case Completes::file:
        return " -rF";
      case Completes::directory:
        return " -xa '(__fish_complete_directories)'";
      case Completes::image:
        return " -xa \"(" + std::string(image_names) + ")\"";
      case Completes::nothing:
        break;
    }
    return " -x";
  };
  for_visible([&](const Verb& v) {
    const std::string when =
        "complete -c kiln -n '__fish_seen_subcommand_from " + std::string(v.name) + "'";
    out += "complete -c kiln -n __fish_use_subcommand -a " + std::string(v.name) + " -d " +
           text(v.summary) + "\n";
    for (const Option* o : options_of(v)) {
      out += when + " -l " + std::string(o->name);
      if (o->letter) out += std::string(" -s ") + o->letter;
      if (!o->argument.empty()) out += arguments(o->completes, o->choices);
      out += " -d " + text(o->help) + "\n";
    }
    if (v.completes == Completes::image) out += when + arguments(v.completes, {}) + "\n";
    if (v.completes == Completes::file || v.completes == Completes::directory)
      out += when + " -F\n";
  });
  return out;
}

// Every row of every table, for the test against the man page: "VERB" or "VERB --OPTION
// [ARGUMENT]".
std::string rows() {
  std::string out;
  for_visible([&](const Verb& v) {
    out += std::string(v.name) + "\n";
    for (const Option& o : v.options) {
      out += std::string(v.name) + " --" + std::string(o.name);
      if (o.letter) out += std::string(",-") + o.letter;
      if (!o.argument.empty()) out += " " + std::string(o.argument);
      out += "\n";
    }
  });
  for (const Option& o : global_options()) out += "* --" + std::string(o.name) + "\n";
  return out;
}

int completion(const Arguments& arguments) {
  const std::string& shell = arguments.operands()[0];
  if (shell == "bash")
    print(bash());
  else if (shell == "zsh")
    print(zsh());
  else if (shell == "fish")
    print(fish());
  else if (shell == "tables")
    print(rows());
  else
    throw UsageError("no completion for '" + shell + "', expected bash, zsh, fish or tables");
  return 0;
}

}  // namespace

extern const Verb completion_verb;
const Verb completion_verb{
    .name = "completion",
    .operands = "bash|zsh|fish|tables",
    .summary = "Print a completion script for a shell, or the option tables that it is made from.",
    .examples = "kiln completion bash > /etc/bash_completion.d/kiln",
    .least = 1,
    .most = 1,
    .hidden = true,
    .run = completion,
};

}  // namespace kiln::cli
