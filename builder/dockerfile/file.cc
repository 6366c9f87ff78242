#include "builder/dockerfile/file.hh"

#include <utility>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/read_body.hh"

namespace kiln::dockerfile {

namespace {

// A NUL is in no text but one of two bytes a character, as some editors and shells of Windows write
// it, and no command or variable can hold it.
void check_encoding(const Source& source) {
  const std::string_view text = source.text();
  const size_t nul = text.find('\0');
  if (nul == std::string_view::npos) return;
  const bool wide = text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
  throw DockerfileError(source, source.range(nul, nul + 1),
                        wide ? "the file is UTF-16: save it as UTF-8" : "a NUL character");
}

}  // namespace

Instruction parse_instruction(const Node& node, const Source& source) {
  try {
    return {node.keyword, std::string(trim(node.original)), node.range, node.comments,
            read_body(node)};
  } catch (const Complaint& complaint) {
    throw DockerfileError(source, source.find(node.range, complaint.culprit()), complaint.message(),
                          complaint.hint());
  } catch (const DockerfileError&) {
    throw;
  } catch (const Error& error) {
    throw DockerfileError(source, node.range, error.message());
  }
}

Dockerfile parse_dockerfile(Source source) {
  check_encoding(source);
  Tree tree = parse_tree(source);
  std::vector<Instruction> instructions;
  instructions.reserve(tree.nodes.size());
  for (const Node& node : tree.nodes) instructions.push_back(parse_instruction(node, source));
  return {std::move(source), std::move(tree.directives), std::move(instructions),
          std::move(tree.empty_continuations)};
}

Instruction parse_trigger(std::string_view trigger, const Source& source,
                          const SourceRange& range) {
  const Source own("ONBUILD trigger", std::string(trigger));
  try {
    Tree tree = parse_tree(own);
    if (tree.nodes.size() != 1) throw Error("it must be a single instruction");
    check_trigger_keyword(tree.nodes[0].keyword);
    Instruction instruction = parse_instruction(tree.nodes[0], own);
    instruction.range = range;
    return instruction;
  } catch (const DockerfileError& error) {
    throw DockerfileError(source, range,
                          "ONBUILD trigger " + go_quoted(trigger) + ": " + error.reason());
  } catch (const Error& error) {
    throw DockerfileError(source, range,
                          "ONBUILD trigger " + go_quoted(trigger) + ": " + error.message());
  }
}

}  // namespace kiln::dockerfile
