#include "builder/dockerfile/read_body.hh"

#include <algorithm>
#include <map>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/flags.hh"

namespace kiln::dockerfile {

namespace {

using Kind = FlagSpec::Kind;
using Reader = InstructionBody (*)(const Node& node);

std::string keyword(const Node& node) {
  return upper(node.keyword);
}

void no_flags(const Node& node) {
  Flags(node.flags, {});
}

const std::string& one_argument(const Node& node) {
  no_flags(node);
  if (node.arguments.size() != 1) throw Complaint(keyword(node) + " requires exactly one argument");
  return node.arguments[0];
}

void some_arguments(const Node& node) {
  no_flags(node);
  if (node.arguments.empty()) throw Complaint(keyword(node) + " requires at least one argument");
}

CommandLine command_line(const Node& node) {
  return {node.arguments, !node.json};
}

std::vector<KeyValue> key_values(const Node& node) {
  some_arguments(node);
  std::vector<KeyValue> pairs;
  for (size_t i = 0; i + 2 < node.arguments.size(); i += 3) {
    if (node.arguments[i].empty()) throw Complaint(keyword(node) + " names can not be blank");
    pairs.push_back({node.arguments[i], node.arguments[i + 1], node.arguments[i + 2].empty()});
  }
  return pairs;
}

// The comment line "NAME text" above an instruction describes NAME.
std::string description(const std::vector<std::string>& comments, const std::string& name) {
  for (const std::string& comment : comments) {
    if (comment.starts_with(name + " ")) return comment.substr(name.size() + 1);
  }
  return {};
}

bool is_stage_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name[0] >= 'a' && name[0] <= 'z' && std::ranges::all_of(name, fits);
}

InstructionBody read_from(const Node& node) {
  const auto& words = node.arguments;
  From from;
  if (words.size() == 3 && lower(words[1]) == "as") {
    from.name = lower(words[2]);
    if (!is_stage_name(from.name)) {
      throw Complaint("invalid name for build stage: '" + words[2] +
                          "': it starts with a letter and holds letters, digits, '-', '_', '.'",
                      words[2]);
    }
  } else if (words.size() != 1) {
    throw Complaint("FROM requires either one or three arguments: FROM IMAGE [AS NAME]");
  }
  from.base = words[0];
  from.platform = Flags(node.flags, {{"platform"}}).text("platform");
  return from;
}

InstructionBody read_run(const Node& node) {
  const Flags flags(node.flags, {{"mount", Kind::list}, {"network"}, {"security"}});
  Run run;
  if (node.json && node.arguments.empty()) throw Complaint("RUN [] names no command", "[");
  run.command = command_line(node);
  run.heredocs = node.heredocs;
  run.mount_options = flags.list("mount");
  for (const std::string& option : run.mount_options) run.mounts.push_back(parse_mount(option, {}));

  const std::string network = flags.text("network");
  if (network == "none") {
    run.network = Run::Network::none;
  } else if (network == "host") {
    run.network = Run::Network::host;
  } else if (network == "pasta") {
    run.network = Run::Network::pasta;
  } else if (!network.empty() && network != "default") {
    throw Complaint("invalid network mode '" + network + "': must be default, none, host or pasta",
                    network);
  }
  const std::string security = flags.text("security");
  if (security == "insecure") {
    run.security = Run::Security::insecure;
  } else if (!security.empty() && security != "sandbox") {
    throw Complaint("invalid security mode '" + security + "': must be sandbox or insecure",
                    security);
  }
  return run;
}

// Sorts the arguments of COPY and ADD into paths and heredocs; the last one is the destination.
template <class Body>
void read_sources(const Node& node, Body& body) {
  if (node.arguments.size() < 2) {
    throw Complaint(keyword(node) +
                    " requires at least two arguments: sources and, last, the destination");
  }
  const auto heredoc_in = [](const std::string& word) -> std::optional<Heredoc> {
    try {
      return parse_heredoc_word(word);
    } catch (const Error&) {
      return std::nullopt;
    }
  };
  body.destination = node.arguments.back();
  if (heredoc_in(body.destination)) {
    throw Complaint(keyword(node) + " cannot take a heredoc as its destination", body.destination);
  }
  for (size_t i = 0; i + 1 < node.arguments.size(); ++i) {
    const auto word = heredoc_in(node.arguments[i]);
    if (!word) {
      body.sources.push_back(node.arguments[i]);
      continue;
    }
    InlineFile file{word->name, {}, word->expand};
    // Of two with one name, the last body counts.
    for (const Heredoc& heredoc : node.heredocs) {
      if (heredoc.name == word->name) file.data = heredoc.content;
    }
    if (word->chomp) file.data = chomp_tabs(file.data);
    body.files.push_back(std::move(file));
  }
}

InstructionBody read_copy(const Node& node) {
  Copy copy;
  read_sources(node, copy);
  const Flags flags(node.flags, {{"from"},
                                 {"chown"},
                                 {"chmod"},
                                 {"link", Kind::boolean},
                                 {"parents", Kind::boolean},
                                 {"exclude", Kind::list}});
  copy.from = flags.text("from");
  copy.chown = flags.text("chown");
  copy.chmod = flags.text("chmod");
  copy.excludes = flags.list("exclude");
  copy.link = flags.boolean("link").value_or(false);
  copy.parents = flags.boolean("parents").value_or(false);
  return copy;
}

InstructionBody read_add(const Node& node) {
  Add add;
  read_sources(node, add);
  const Flags flags(node.flags, {{"chown"},
                                 {"chmod"},
                                 {"checksum"},
                                 {"link", Kind::boolean},
                                 {"keep-git-dir", Kind::boolean},
                                 {"unpack", Kind::boolean},
                                 {"exclude", Kind::list}});
  add.chown = flags.text("chown");
  add.chmod = flags.text("chmod");
  add.checksum = flags.text("checksum");
  add.excludes = flags.list("exclude");
  add.link = flags.boolean("link").value_or(false);
  add.keep_git_dir = flags.boolean("keep-git-dir");
  add.unpack = flags.boolean("unpack");
  return add;
}

InstructionBody read_arg(const Node& node) {
  some_arguments(node);
  Arg arg;
  for (const std::string& word : node.arguments) {
    ArgDefinition definition;
    const size_t equals = word.find('=');
    definition.name = word.substr(0, equals);
    if (definition.name.empty()) throw Complaint("ARG names can not be blank", word);
    if (equals != std::string::npos) definition.value = word.substr(equals + 1);
    definition.description = description(node.comments, definition.name);
    arg.definitions.push_back(std::move(definition));
  }
  return arg;
}

InstructionBody read_expose(const Node& node) {
  some_arguments(node);
  Expose expose{node.arguments};
  std::ranges::sort(expose.ports);
  return expose;
}

InstructionBody read_volume(const Node& node) {
  some_arguments(node);
  Volume volume;
  for (const std::string& path : node.arguments) {
    volume.paths.emplace_back(trim(path));
    if (volume.paths.back().empty()) throw Complaint("VOLUME can not be an empty string");
  }
  return volume;
}

InstructionBody read_shell(const Node& node) {
  some_arguments(node);
  if (!node.json) {
    throw Complaint("SHELL requires the arguments to be in JSON form: SHELL [\"/bin/sh\", \"-c\"]",
                    node.arguments[0]);
  }
  return Shell{node.arguments};
}

// What the image will keep: the text behind ONBUILD, and the heredocs behind that.
InstructionBody read_onbuild(const Node& node) {
  no_flags(node);
  if (node.sub.empty()) throw Complaint("ONBUILD requires at least one argument");
  check_trigger_keyword(node.sub[0].keyword);
  std::string_view text = trim_left(node.original);
  text = trim_left(text.substr(node.keyword.size()));
  Onbuild onbuild{std::string(text)};
  for (const Heredoc& heredoc : node.heredocs) {
    onbuild.trigger += "\n" + heredoc.content + heredoc.name;
  }
  read_body(node.sub[0]);  // a trigger that nobody could fire is an error here and now
  return onbuild;
}

const std::map<std::string, Reader, std::less<>>& readers() {
  static const std::map<std::string, Reader, std::less<>> table = {
      {"ADD", read_add},
      {"ARG", read_arg},
      {"CMD", [](const Node& n) -> InstructionBody { return no_flags(n), Cmd{command_line(n)}; }},
      {"COPY", read_copy},
      {"ENTRYPOINT",
       [](const Node& n) -> InstructionBody { return no_flags(n), Entrypoint{command_line(n)}; }},
      {"ENV", [](const Node& n) -> InstructionBody { return Env{key_values(n)}; }},
      {"EXPOSE", read_expose},
      {"FROM", read_from},
      {"HEALTHCHECK", [](const Node& n) -> InstructionBody { return read_healthcheck(n); }},
      {"LABEL", [](const Node& n) -> InstructionBody { return Label{key_values(n)}; }},
      {"MAINTAINER", [](const Node& n) -> InstructionBody { return Maintainer{one_argument(n)}; }},
      {"ONBUILD", read_onbuild},
      {"RUN", read_run},
      {"SHELL", read_shell},
      {"STOPSIGNAL", [](const Node& n) -> InstructionBody { return Stopsignal{one_argument(n)}; }},
      {"USER", [](const Node& n) -> InstructionBody { return User{one_argument(n)}; }},
      {"VOLUME", read_volume},
      {"WORKDIR", [](const Node& n) -> InstructionBody { return Workdir{one_argument(n)}; }},
  };
  return table;
}

}  // namespace

InstructionBody read_body(const Node& node) {
  const auto reader = readers().find(keyword(node));
  if (reader != readers().end()) return reader->second(node);
  std::vector<std::string> names;
  for (const auto& [name, unused] : readers()) names.push_back(name);
  throw Complaint("unknown instruction: " + node.keyword, node.keyword,
                  did_you_mean(node.keyword, names));
}

void check_trigger_keyword(std::string_view word) {
  const std::string name = upper(word);
  if (name == "ONBUILD" || name == "FROM" || name == "MAINTAINER") {
    throw Complaint(name + " isn't allowed as an ONBUILD trigger", std::string(word));
  }
}

}  // namespace kiln::dockerfile
