// Owns: the typed instructions of a Dockerfile, every flag included, and their expansion.
// Does not own: what they do to a build, nor the state (environment, user) that they act on.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "builder/dockerfile/heredoc.hh"
#include "builder/dockerfile/mount.hh"
#include "builder/dockerfile/source.hh"

namespace kiln::dockerfile {

struct KeyValue {
  std::string key;
  std::string value;
  bool spaced = false;  // the old form `ENV key value`

  bool operator==(const KeyValue&) const = default;
};

// The command of RUN, CMD, ENTRYPOINT. Shell form: one word, the whole line, for the stage's SHELL.
// JSON form: the argument vector.
struct CommandLine {
  std::vector<std::string> words;
  bool shell_form = true;

  bool operator==(const CommandLine&) const = default;
};

struct From {
  std::string base;      // stage name, image reference, named context or "scratch"; may hold $ARG
  std::string name;      // AS name in lower case; empty without one
  std::string platform;  // --platform as written; empty without one
};

struct Run {
  enum class Network { standard, none, host, pasta };
  enum class Security { sandbox, insecure };

  CommandLine command;
  std::vector<Heredoc> heredocs;
  std::vector<std::string> mount_options;  // each --mount=… as written
  // One for each of mount_options. Before expand() only `from` is filled: the rest may hold
  // variables. After it, complete and checked.
  std::vector<Mount> mounts;
  Network network = Network::standard;
  Security security = Security::sandbox;
};

struct Cmd {
  CommandLine command;
};

struct Entrypoint {
  CommandLine command;
};

// The sources of COPY and ADD that are written in the Dockerfile itself (`COPY <<EOF /dest`).
struct InlineFile {
  std::string name;  // file name at the destination
  std::string data;  // chomped already; expanded by expand() if `expand`
  bool expand = true;
};

struct Copy {
  std::vector<std::string> sources;  // as written: may be absolute, hold wildcards, end in '/'
  std::vector<InlineFile> files;
  std::string destination;
  std::string from;  // stage name or number, image or named context; empty: the build context
  std::string chown;
  std::string chmod;
  std::vector<std::string> excludes;
  bool link = false;
  bool parents = false;
};

struct Add {
  std::vector<std::string> sources;  // paths, http(s) URLs, git URLs
  std::vector<InlineFile> files;
  std::string destination;
  std::string chown;
  std::string chmod;
  std::string checksum;
  std::vector<std::string> excludes;
  std::optional<bool> keep_git_dir;
  std::optional<bool> unpack;  // nullopt: local archives yes, downloads no
  bool link = false;
};

struct Env {
  std::vector<KeyValue> variables;
};

struct Label {
  std::vector<KeyValue> labels;
};

struct ArgDefinition {
  std::string name;
  std::optional<std::string> value;  // the default, unexpanded until expand()
  std::string description;           // from a comment `# NAME text` right above
};

struct Arg {
  std::vector<ArgDefinition> definitions;
};

struct Expose {
  std::vector<std::string> ports;  // as written, sorted; expansion may make one word into several
};

struct Volume {
  std::vector<std::string> paths;
};

struct User {
  std::string user;  // user[:group]
};

struct Workdir {
  std::string path;
};

struct Stopsignal {
  std::string signal;
};

struct Shell {
  std::vector<std::string> words;  // never empty
};

struct Healthcheck {
  std::vector<std::string> test;  // {"NONE"}, {"CMD", argv…} or {"CMD-SHELL", line}
  std::chrono::nanoseconds interval{0};
  std::chrono::nanoseconds timeout{0};
  std::chrono::nanoseconds start_period{0};
  std::chrono::nanoseconds start_interval{0};
  int retries = 0;
};

struct Onbuild {
  std::string trigger;  // the instruction's text, heredoc bodies included, as the image keeps it
};

struct Maintainer {
  std::string name;
};

using InstructionBody =
    std::variant<From, Run, Cmd, Entrypoint, Copy, Add, Env, Label, Arg, Expose, Volume, User,
                 Workdir, Stopsignal, Shell, Healthcheck, Onbuild, Maintainer>;

struct Instruction {
  std::string keyword;   // as written: "RUN", "run"
  std::string original;  // the logical line: continuations joined, comments gone, no heredoc bodies
  SourceRange range;     // heredoc bodies included
  std::vector<std::string> comments;  // the comment lines right above, without '#'
  InstructionBody body;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&body);
  }
  template <class T>
  T* as() {
    return std::get_if<T>(&body);
  }
};

// Upper-case keyword of a body: "RUN", "COPY" …
std::string_view keyword_of(const InstructionBody& body);

// How words become text. `word` removes quotes and escapes as a shell does; `words` also splits at
// blanks (EXPOSE); `document` keeps quotes (inline files).
struct Expansion {
  std::function<std::string(std::string_view)> word;
  std::function<std::vector<std::string>(std::string_view)> words;
  std::function<std::string(std::string_view)> document;
};

// A copy of `body` with variables replaced in exactly the places that the Dockerfile reference
// lists: FROM, ENV, LABEL, ADD, COPY (paths, chown, chmod, checksum, inline files), EXPOSE, VOLUME,
// USER, WORKDIR, STOPSIGNAL, ARG and the --mount options of RUN. RUN, CMD, ENTRYPOINT, SHELL,
// HEALTHCHECK, ONBUILD and MAINTAINER text stays as it is. Throws Error, without a place.
InstructionBody expand(const InstructionBody& body, const Expansion& expansion);

}  // namespace kiln::dockerfile
