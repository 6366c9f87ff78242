// Owns: writing a JSON text piece by piece. Does not own: which members a document has.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "oci-spec/json_document.hh"

namespace oci {

// Values and containers in document order; inside an object each is preceded by key(). `indent` is
// the number of spaces a level, below 0 for everything on one line.
class JsonOutput {
 public:
  explicit JsonOutput(int indent = -1) : indent_(indent) {}

  void key(std::string_view name);
  void string(std::string_view text);  // bytes that are not UTF-8 become U+FFFD
  void boolean(bool value);
  void integer(int64_t value);
  void integer(uint64_t value);
  void null();
  // A number as a document wrote it.
  void number(std::string_view written);
  // A value of a document that was read, with all below it.
  void copy(const JsonNode& value);
  void begin_object() { begin('{'); }
  void end_object() { end('}'); }
  void begin_array() { begin('['); }
  void end_array() { end(']'); }
  // The text so far; the writer is empty again.
  std::string take() { return std::move(text_); }

 private:
  void before_value();
  void begin(char bracket);
  void end(char bracket);
  void quoted(std::string_view text);
  void line_break();

  std::string text_;
  int indent_;
  int depth_ = 0;
  bool first_ = true;        // nothing written yet in the current container
  bool behind_key_ = false;  // the value goes on the key's line
};

}  // namespace oci
