#include "builder/dockerfile/instruction.hh"

#include <array>

namespace kiln::dockerfile {

namespace {

using Word = std::function<std::string(std::string_view)>;

void apply(std::string& text, const Word& word) {
  text = word(text);
}

void apply(std::vector<std::string>& texts, const Word& word) {
  for (std::string& text : texts) apply(text, word);
}

void apply(std::vector<KeyValue>& pairs, const Word& word) {
  for (KeyValue& pair : pairs) {
    apply(pair.key, word);
    apply(pair.value, word);
  }
}

void apply(std::vector<InlineFile>& files, const Word& document) {
  for (InlineFile& file : files) {
    if (file.expand) apply(file.data, document);
  }
}

// One overload for each body that expands; all others stay as they are.
struct InPlace {
  const Expansion& e;

  void operator()(From& from) const {
    apply(from.base, e.word);
    if (!from.platform.empty()) apply(from.platform, e.word);
  }
  void operator()(Run& run) const {
    run.mounts.clear();
    for (const std::string& option : run.mount_options) {
      run.mounts.push_back(parse_mount(option, e.word));
    }
  }
  void operator()(Copy& copy) const {
    apply(copy.chown, e.word);
    apply(copy.chmod, e.word);
    apply(copy.sources, e.word);
    apply(copy.destination, e.word);
    apply(copy.files, e.document);
  }
  void operator()(Add& add) const {
    apply(add.chown, e.word);
    apply(add.chmod, e.word);
    apply(add.checksum, e.word);
    apply(add.sources, e.word);
    apply(add.destination, e.word);
    apply(add.files, e.document);
  }
  void operator()(Env& env) const { apply(env.variables, e.word); }
  void operator()(Label& label) const { apply(label.labels, e.word); }
  void operator()(Arg& arg) const {
    for (ArgDefinition& definition : arg.definitions) {
      apply(definition.name, e.word);
      if (definition.value) apply(*definition.value, e.word);
    }
  }
  void operator()(Expose& expose) const {
    std::vector<std::string> ports;
    for (const std::string& port : expose.ports) {
      for (std::string& word : e.words(port)) ports.push_back(std::move(word));
    }
    expose.ports = std::move(ports);
  }
  void operator()(Volume& volume) const { apply(volume.paths, e.word); }
  void operator()(User& user) const { apply(user.user, e.word); }
  void operator()(Workdir& workdir) const { apply(workdir.path, e.word); }
  void operator()(Stopsignal& stopsignal) const { apply(stopsignal.signal, e.word); }
  template <class Other>
  void operator()(Other&) const {}
};

}  // namespace

std::string_view keyword_of(const InstructionBody& body) {
  static constexpr std::array<std::string_view, std::variant_size_v<InstructionBody>> names = {
      "FROM",    "RUN",        "CMD",   "ENTRYPOINT",  "COPY",    "ADD",
      "ENV",     "LABEL",      "ARG",   "EXPOSE",      "VOLUME",  "USER",
      "WORKDIR", "STOPSIGNAL", "SHELL", "HEALTHCHECK", "ONBUILD", "MAINTAINER"};
  return names[body.index()];
}

InstructionBody expand(const InstructionBody& body, const Expansion& expansion) {
  InstructionBody expanded = body;
  std::visit(InPlace{expansion}, expanded);
  return expanded;
}

}  // namespace kiln::dockerfile
