#include "builder/dockerfile/file.hh"

#include <utility>

#include "builder/dockerfile/characters.hh"
#include "builder/dockerfile/complaint.hh"
#include "builder/dockerfile/read_body.hh"

namespace kiln::dockerfile {

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
