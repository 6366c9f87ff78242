#include <fcntl.h>

#include <algorithm>

#include "builder/cli/output.hh"
#include "builder/cli/verbs.hh"
#include "builder/dockerfile/file.hh"
#include "builder/sys/file.hh"

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

// In single quotes of sh, in which nothing is escaped but by leaving them.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// What the scripts ask kiln itself, for the store that stands on the command line.
constexpr std::string_view bash_images =
    "kiln \"${store[@]}\" images --format '{{.Name}}' 2>/dev/null";
constexpr std::string_view bash_stages = "kiln completion stages \"$dockerfile\" 2>/dev/null";

// The last word before the cursor, put together again where bash parts it; the Dockerfile and the
// store that were named; the verb.
constexpr std::string_view bash_words_read =
    "  local cur=${COMP_WORDS[COMP_CWORD]} at=$COMP_CWORD verb= dockerfile=Dockerfile i prev\n"
    "  local store=()\n"
    "  while ((at > 1)) && [[ $cur == [:=]* || ${COMP_WORDS[at-1]} == [:=] ]]; do\n"
    "    ((at--)); cur=${COMP_WORDS[at]}$cur\n"
    "  done\n"
    "  prev=${COMP_WORDS[at-1]}\n"
    "  [[ $cur == --*=* ]] && prev=${cur%%=*} cur=${cur#*=}\n"
    "  [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]] && head=${cur%\"${cur##*:}\"}\n"
    "  for ((i = 1; i < at; i++)); do\n"
    "    case ${COMP_WORDS[i]} in\n"
    "      --store) [[ ${COMP_WORDS[i+1]} == = ]] && ((i++)); store=(--store "
    "\"${COMP_WORDS[i+1]}\"); ((i++)) ;;\n"
    "      -f|--file) [[ ${COMP_WORDS[i+1]} == = ]] && ((i++)); dockerfile=${COMP_WORDS[i+1]}; "
    "((i++)) ;;\n"
    "      -*) ;;\n"
    "      *) [[ $verb ]] || verb=${COMP_WORDS[i]} ;;\n"
    "    esac\n"
    "  done\n";

std::string bash_words(Completes what, std::string_view choices) {
  if (!choices.empty()) return "COMPREPLY=($(compgen -W '" + spaced(choices) + "' -- \"$cur\"))";
  switch (what) {
    case Completes::file:
      return "COMPREPLY=($(compgen -f -- \"$cur\"))";
    case Completes::directory:
      return "COMPREPLY=($(compgen -d -- \"$cur\"))";
    case Completes::image:
      return "COMPREPLY=($(compgen -W \"$(" + std::string(bash_images) + ")\" -- \"$cur\"))";
    case Completes::stage:
      return "COMPREPLY=($(compgen -W \"$(" + std::string(bash_stages) + ")\" -- \"$cur\"))";
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
      "_kiln_words() {\n" +
      std::string(bash_words_read) +
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
  out +=
      "  esac\n}\n"
      // bash replaces what follows the last ':' only. Names of files are quoted by it; of images
      // not.
      "_kiln() {\n"
      "  local head=\n"
      "  _kiln_words\n"
      "  [[ $head ]] && COMPREPLY=(\"${COMPREPLY[@]#\"$head\"}\")\n"
      "}\n"
      "complete -o bashdefault -o default -F _kiln kiln\n";
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
    case Completes::stage:
      return "_kiln_stages";
    case Completes::nothing:
      break;
  }
  return " ";
}

std::string zsh() {
  std::string out =
      "#compdef kiln\n# zsh completion for kiln, made from its option tables\n"
      "_kiln_images() {\n  local -a names\n"
      "  names=(${(f)\"$(kiln $store images --format '{{.Name}}' 2>/dev/null)\"})\n"
      "  compadd -a names\n}\n"
      "_kiln_stages() {\n  local -a names\n  local "
      "file=${opt_args[--file]:-${opt_args[-f]:-Dockerfile}}\n"
      "  names=(${(f)\"$(kiln completion stages ${(Q)file} 2>/dev/null)\"})\n"
      "  compadd -a names\n}\n"
      "_kiln() {\n  local curcontext=$curcontext state line\n"
      "  typeset -A opt_args\n  local -a verbs store\n  verbs=(\n";
  for_visible([&](const Verb& v) {
    out += "    " + in_quotes(std::string(v.name) + ":" + quoted(v.summary, ":", '\\')) + "\n";
  });
  out +=
      "  )\n  _arguments -C '--store[where images are kept]:directory:_files -/' "
      "'--debug[print each step]' '--help[explain]' '1: :->verb' '*:: :->rest'\n"
      "  [[ -n $opt_args[--store] ]] && store=(--store ${(Q)opt_args[--store]})\n"
      "  case $state in\n    verb) _describe verb verbs ;;\n    rest) case $words[1] in\n";
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
      "# fish completion for kiln, made from its option tables\n"
      // The value of an option on the command line; $argv: its spellings.
      "function __kiln_value\n"
      "  set -l words (commandline -opc)\n"
      "  for i in (seq (count $words))\n"
      "    contains -- $words[$i] $argv; and echo $words[(math $i + 1)]\n"
      "    string match -q -- \"$argv[1]=*\" $words[$i]; and string replace -- \"$argv[1]=\" '' "
      "$words[$i]\n"
      "  end\n"
      "end\n"
      "function __kiln_images\n"
      "  set -l store (__kiln_value --store)\n"
      "  test -n \"$store\"; and set store --store $store\n"
      "  kiln $store images --format '{{.Name}}' 2>/dev/null\n"
      "end\n"
      "function __kiln_stages\n"
      "  set -l file (__kiln_value --file -f) Dockerfile\n"
      "  kiln completion stages $file[1] 2>/dev/null\n"
      "end\n"
      "complete -c kiln -f\n"
      "complete -c kiln -n __fish_use_subcommand -l store -r -a '(__fish_complete_directories)'\n";
  const auto arguments = [&](Completes what, std::string_view choices) -> std::string {
    if (!choices.empty()) return " -xa " + text(spaced(choices));
    switch (what) {
      case Completes::file:
        return " -rF";
      case Completes::directory:
        return " -xa '(__fish_complete_directories)'";
      case Completes::image:
        return " -xa '(__kiln_images)'";
      case Completes::stage:
        return " -xa '(__kiln_stages)'";
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

// Names of a Dockerfile's stages, a line each, for --target.
std::string stages(const std::string& file) {
  const auto parsed =
      dockerfile::parse_dockerfile({file, read_file_at(AT_FDCWD, file, dockerfile::most_bytes)});
  std::string out;
  for (const dockerfile::Instruction& instruction : parsed.instructions)
    if (const auto* from = std::get_if<dockerfile::From>(&instruction.body);
        from && !from->name.empty())
      out += from->name + "\n";
  return out;
}

int completion(const Arguments& arguments) {
  const std::string& shell = arguments.operands()[0];
  if ((arguments.operands().size() == 2) != (shell == "stages"))
    throw UsageError("completion stages takes a Dockerfile, nothing else takes an operand more");
  if (shell == "bash")
    print(bash());
  else if (shell == "zsh")
    print(zsh());
  else if (shell == "fish")
    print(fish());
  else if (shell == "tables")
    print(rows());
  else if (shell == "stages")
    print(stages(arguments.operands()[1]));
  else
    throw UsageError("no completion for '" + shell + "', expected bash, zsh, fish or tables");
  return 0;
}

}  // namespace

extern const Verb completion_verb;
const Verb completion_verb{
    .name = "completion",
    .operands = "bash|zsh|fish|tables|stages [DOCKERFILE]",
    .summary =
        "Print a completion script for a shell, the option tables that it is made from, or what it "
        "offers for --target.",
    .examples = "kiln completion bash > /etc/bash_completion.d/kiln",
    .least = 1,
    .most = 2,
    .hidden = true,
    .run = completion,
};

}  // namespace kiln::cli
