#include "builder/stage/recorder.hh"

#include <signal.h>
#include <string.h>

#include <algorithm>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/ignore.hh"
#include "builder/dockerfile/quantity.hh"
#include "builder/stage/ports.hh"

namespace kiln::stage {

namespace {

using Words = std::vector<std::string>;

std::string joined(const Words& words, std::string_view separator = " ") {
  std::string text;
  for (const std::string& word : words) {
    if (&word != &words[0]) text += separator;
    text += word;
  }
  return text;
}

// ["a", "b"], as CMD and ENTRYPOINT are written.
std::string json_like(const Words& words) {
  Words quoted;
  for (const std::string& word : words) quoted.push_back(dockerfile::go_quoted(word));
  return "[" + joined(quoted, ", ") + "]";
}

std::string pairs_text(const std::vector<dockerfile::KeyValue>& pairs) {
  std::string text;
  for (const auto& pair : pairs) text.append(" ").append(pair.key).append("=").append(pair.value);
  return text;
}

void insert_sorted(Words& set, const std::string& value) {
  const auto place = std::ranges::lower_bound(set, value);
  if (place == set.end() || *place != value) set.insert(place, value);
}

template <class Body>
Words copied(const Body& body) {
  Words words = body.sources;
  for (const dockerfile::InlineFile& file : body.files) words.push_back("<<" + file.name);
  words.push_back(body.destination);
  return words;
}

}  // namespace

void State::Recorder::operator()(dockerfile::Run& run) const {
  const Invocation invocation = invocation_of(run, state.shell());
  // As Docker writes it: the number of ARGs that were in sight, they, and the command.
  std::string text = "RUN ";
  const auto arguments = state.declared_arguments();
  if (!arguments.empty()) text += "|" + std::to_string(arguments.size()) + " ";
  for (const auto& [name, value] : arguments) {
    text.append(name).append("=").append(value).append(" ");
  }
  state.add_history(text + joined(invocation.argv), true);
  applied.may_write = true;
}

void State::Recorder::operator()(dockerfile::Copy& copy) const {
  std::string text = "COPY ";
  if (!copy.from.empty()) text.append("--from=").append(copy.from).append(" ");
  if (copy.parents) text += "--parents ";
  if (!copy.chown.empty()) text.append("--chown=").append(copy.chown).append(" ");
  if (!copy.chmod.empty()) text.append("--chmod=").append(copy.chmod).append(" ");
  state.add_history(text + joined(copied(copy)), true);
  applied.may_write = true;
}

void State::Recorder::operator()(dockerfile::Add& add) const {
  std::string text = "ADD ";
  if (!add.chown.empty()) text.append("--chown=").append(add.chown).append(" ");
  if (!add.chmod.empty()) text.append("--chmod=").append(add.chmod).append(" ");
  state.add_history(text + joined(copied(add)), true);
  applied.may_write = true;
}

void State::Recorder::operator()(dockerfile::Cmd& cmd) const {
  config().cmd = argv_of(cmd.command, state.shell());
  state.cmd_set_ = true;
  state.add_history("CMD " + json_like(*config().cmd), false);
}

void State::Recorder::operator()(dockerfile::Entrypoint& entrypoint) const {
  Words argv = argv_of(entrypoint.command, state.shell());
  state.add_history("ENTRYPOINT " + json_like(argv), false);
  // `ENTRYPOINT []` takes the base's away.
  if (argv.empty()) {
    config().entrypoint.reset();
  } else {
    config().entrypoint = std::move(argv);
  }
  // The base's CMD was meant for the base's ENTRYPOINT.
  if (!state.cmd_set_) config().cmd.reset();
}

void State::Recorder::operator()(dockerfile::Env& env) const {
  for (const dockerfile::KeyValue& pair : env.variables) {
    if (pair.key.empty() || pair.key.contains('=')) {
      throw Error("ENV name '" + pair.key + "' is empty or holds '='");
    }
    state.variables_.set(pair.key, pair.value);
    const std::string entry = pair.key + "=" + pair.value;
    const auto found = std::ranges::find_if(config().env, [&](const std::string& old) {
      return old.starts_with(pair.key + "=") || old == pair.key;
    });
    if (found == config().env.end()) {
      config().env.push_back(entry);
    } else {
      *found = entry;
    }
  }
  state.add_history("ENV" + pairs_text(env.variables), false);
}

void State::Recorder::operator()(dockerfile::Label& label) const {
  for (const dockerfile::KeyValue& pair : label.labels) config().labels[pair.key] = pair.value;
  state.add_history("LABEL" + pairs_text(label.labels), false);
}

void State::Recorder::operator()(dockerfile::Arg& arg) const {
  const Graph& graph = *state.graph_;
  std::string text = "ARG";
  for (dockerfile::ArgDefinition& definition : arg.definitions) {
    const auto given = graph.inputs().build_args.find(definition.name);
    if (given != graph.inputs().build_args.end()) {
      definition.value = given->second;
    } else if (definition.value) {
      definition.value = expansion.word(*definition.value);
    } else {
      definition.value = graph.globals().get(definition.name);
    }
    text.append(" ").append(definition.name);
    if (definition.value) {
      state.variables_.set(definition.name, *definition.value);
      text.append("=").append(*definition.value);
    }
    if (std::ranges::find(state.declared_, definition.name) == state.declared_.end()) {
      state.declared_.push_back(definition.name);
    }
  }
  state.add_history(std::move(text), false);
}

void State::Recorder::operator()(dockerfile::Expose& expose) const {
  Words all;
  for (const std::string& text : expose.ports) {
    for (const std::string& port : parse_ports(text).ports) {
      insert_sorted(config().exposed_ports, port);
      all.push_back(port);
    }
  }
  state.add_history("EXPOSE " + joined(all), false);
}

void State::Recorder::operator()(dockerfile::Volume& volume) const {
  for (const std::string& path : volume.paths) {
    if (path.empty()) throw dockerfile::Complaint("VOLUME can not be an empty string");
    insert_sorted(config().volumes, path);
  }
  state.add_history("VOLUME " + joined(volume.paths), false);
}

void State::Recorder::operator()(dockerfile::User& user) const {
  config().user = user.user;
  state.add_history("USER " + user.user, false);
}

void State::Recorder::operator()(dockerfile::Workdir& workdir) const {
  const std::string& path = workdir.path;
  workdir.path =
      dockerfile::clean_path(path.starts_with('/') ? path : state.working_dir() + "/" + path);
  config().working_dir = workdir.path;
  state.add_history("WORKDIR " + workdir.path, false);
  applied.may_write = workdir.path != "/";
}

void State::Recorder::operator()(dockerfile::Stopsignal& stopsignal) const {
  if (!is_signal(stopsignal.signal)) {
    throw dockerfile::Complaint(
        "invalid signal '" + stopsignal.signal + "': must be a name like SIGTERM or a number",
        stopsignal.signal);
  }
  config().stop_signal = stopsignal.signal;
  state.add_history("STOPSIGNAL " + stopsignal.signal, false);
}

void State::Recorder::operator()(dockerfile::Shell& shell) const {
  config().shell = shell.words;
  state.add_history("SHELL " + json_like(shell.words), false);
}

void State::Recorder::operator()(dockerfile::Healthcheck& check) const {
  config().healthcheck = oci::Healthcheck{check.test,
                                          check.interval.count(),
                                          check.timeout.count(),
                                          check.start_period.count(),
                                          check.start_interval.count(),
                                          check.retries};
  state.add_history("HEALTHCHECK " + joined(check.test), false);
}

void State::Recorder::operator()(dockerfile::Onbuild& onbuild) const {
  config().on_build.push_back(onbuild.trigger);
  state.add_history("ONBUILD " + onbuild.trigger, false);
}

void State::Recorder::operator()(dockerfile::Maintainer& maintainer) const {
  state.image_.author = maintainer.name;
  state.add_history("MAINTAINER " + maintainer.name, false);
}

bool is_signal(std::string_view text) {
  if (const auto number = dockerfile::parse_number(text)) return *number > 0 && *number <= 64;
  std::string name = dockerfile::upper(text);
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (const std::string_view real_time : {"RTMIN", "RTMAX"}) {
    if (!name.starts_with(real_time)) continue;
    const std::string_view offset = std::string_view(name).substr(real_time.size());
    if (offset.empty()) return true;
    const auto number = dockerfile::parse_number(offset.substr(1));
    return offset[0] == (real_time == "RTMIN" ? '+' : '-') && number && *number <= 30;
  }
  if (name == "IOT" || name == "CLD" || name == "POLL") return true;  // second names
  for (int number = 1; number < SIGRTMIN; ++number) {
    const char* known = sigabbrev_np(number);
    if (known != nullptr && name == known) return true;
  }
  return false;
}

}  // namespace kiln::stage
