// Owns: reading a JSON text (RFC 8259) into a flat tree of nodes that point into the text.
// Does not own: what the members of a document mean (the readers of each document).
//
// config.json is read once on the way to every container, so this is made for one pass: no
// allocation per node, numbers stay text until a field says which range it takes, and nothing is
// converted with loss.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oci-spec/format_error.hh"

namespace oci {

enum class JsonType : uint8_t { null, boolean, number, string, array, object };

// "a string", "an object", … as used in error messages.
std::string_view json_type_name(JsonType type);

// Nodes lie in document order; a node's children are the `span - 1` nodes behind it.
struct JsonNode {
  std::string_view key;   // its name when the parent is an object
  std::string_view text;  // a string's content, or "true", "false", or a number as written
  uint32_t span = 1;      // nodes in this subtree, itself included
  JsonType type = JsonType::null;

  const JsonNode* begin() const { return this + 1; }
  const JsonNode* end() const { return this + span; }
  // Behind this node and all below it: the next sibling, or the parent's end().
  const JsonNode* next() const { return this + span; }
};

class JsonDocument {
 public:
  // `text` must outlive the document; `file` names it in errors. Throws FormatError with the line
  // and column: texts that are not valid UTF-8, unpaired surrogates, content behind the document
  // and nesting deeper than 256 are refused. Duplicate names are the readers' to report, with path.
  JsonDocument(std::string_view text, std::string_view file);
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  const JsonNode& root() const { return nodes_.front(); }

 private:
  std::vector<JsonNode> nodes_;
  std::string unescaped_;  // strings with escapes; never longer than the text, so never moved
};

}  // namespace oci
