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

// Nodes lie in document order; a node's children are the `span - 1` nodes behind it. Kept small:
// config.json has a thousand, and each page of them is a page fault.
class JsonNode {
 public:
  explicit JsonNode(std::string_view name)
      : key_(name.data()),
        key_size_(static_cast<uint32_t>(name.size()) & longest_text),
        type_(JsonType::null) {}

  JsonType type() const { return type_; }
  // Its name when the parent is an object.
  std::string_view key() const { return {key_, key_size_}; }
  // A string's content, or "true", "false", "null", or a number as written; empty for the others.
  std::string_view text() const { return {text_, text_ ? size_ : 0}; }

  const JsonNode* begin() const { return this + 1; }
  const JsonNode* end() const { return next(); }
  // Behind this node and all below it: the next sibling, or the parent's end().
  const JsonNode* next() const { return this + span(); }
  // Nodes in this subtree, itself included.
  uint32_t span() const { return text_ ? 1 : size_; }

  void become(JsonType kind, std::string_view written) {
    type_ = kind;
    text_ = written.data();
    size_ = static_cast<uint32_t>(written.size());
  }
  // An array or object.
  void become(JsonType kind, size_t nodes) {
    type_ = kind;
    size_ = static_cast<uint32_t>(nodes);
  }

  static constexpr uint32_t longest_text = (uint32_t{1} << 29) - 1;

 private:
  const char* key_;
  const char* text_ = nullptr;  // null: an array or object
  uint32_t size_ = 1;           // of the text; of the others their span
  uint32_t key_size_ : 29;
  JsonType type_ : 3;
};

class JsonDocument {
 public:
  // `text` must outlive the document; `file` names it in errors. Throws FormatError with the line
  // and column: texts that are not valid UTF-8, unpaired surrogates, content behind the document,
  // nesting deeper than 256 and texts of 512 MiB are refused. Duplicate names are the readers' to
  // report, with path.
  JsonDocument(std::string_view text, std::string_view file);
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  const JsonNode& root() const { return nodes_.front(); }

 private:
  std::vector<JsonNode> nodes_;
  std::string unescaped_;  // strings with escapes; never longer than the text, so never moved
};

}  // namespace oci
