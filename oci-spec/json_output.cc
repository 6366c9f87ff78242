#include "oci-spec/json_output.hh"

#include <charconv>

namespace oci {

namespace {

// Length of a plausible UTF-8 sequence at `i`, 0 when the byte cannot stand there.
size_t sequence_length(std::string_view s, size_t i) {
  const auto lead = static_cast<unsigned char>(s[i]);
  const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0 || i + length > s.size()) return 0;
  for (size_t k = 1; k < length; ++k)
    if ((static_cast<unsigned char>(s[i + k]) & 0xc0) != 0x80) return 0;
  const auto second = static_cast<unsigned char>(s[i + 1]);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool outside = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
  return overlong || outside ? 0 : length;
}

template <class Number>
void append_number(std::string& out, Number value) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

}  // namespace

void JsonOutput::line_break() {
  if (indent_ < 0) return;
  text_ += '\n';
  text_.append(static_cast<size_t>(indent_ * depth_), ' ');
}

void JsonOutput::before_value() {
  if (behind_key_) {
    behind_key_ = false;
    return;
  }
  if (!first_) text_ += ',';
  if (depth_ > 0) line_break();
  first_ = false;
}

void JsonOutput::key(std::string_view name) {
  before_value();
  quoted(name);
  text_ += indent_ < 0 ? ":" : ": ";
  behind_key_ = true;
}

void JsonOutput::begin(char bracket) {
  before_value();
  text_ += bracket;
  ++depth_;
  first_ = true;
}

void JsonOutput::end(char bracket) {
  --depth_;
  if (!first_) line_break();
  text_ += bracket;
  first_ = false;
}

void JsonOutput::string(std::string_view text) {
  before_value();
  quoted(text);
}

void JsonOutput::boolean(bool value) {
  before_value();
  text_ += value ? "true" : "false";
}

void JsonOutput::integer(int64_t value) {
  before_value();
  append_number(text_, value);
}

void JsonOutput::integer(uint64_t value) {
  before_value();
  append_number(text_, value);
}

void JsonOutput::number(std::string_view written) {
  before_value();
  text_ += written;
}

void JsonOutput::copy(const JsonNode& value) {
  switch (value.type()) {
    case JsonType::null:
      return null();
    case JsonType::boolean:
      return boolean(value.text() == "true");
    case JsonType::number:
      return number(value.text());
    case JsonType::string:
      return string(value.text());
    case JsonType::array:
      begin_array();
      for (const JsonNode* n = value.begin(); n != value.end(); n = n->next()) copy(*n);
      return end_array();
    case JsonType::object:
      begin_object();
      for (const JsonNode* n = value.begin(); n != value.end(); n = n->next()) {
        key(n->key());
        copy(*n);
      }
      return end_object();
  }
}

void JsonOutput::null() {
  before_value();
  text_ += "null";
}

void JsonOutput::quoted(std::string_view s) {
  static constexpr std::string_view digits = "0123456789abcdef";
  text_ += '"';
  for (size_t i = 0; i < s.size();) {
    const auto c = static_cast<unsigned char>(s[i]);
    if (c >= 0x80) {
      const size_t length = sequence_length(s, i);
      if (length == 0) text_ += "\xef\xbf\xbd";
      text_.append(s, i, length);
      i += length == 0 ? 1 : length;
      continue;
    }
    ++i;
    switch (c) {
      case '"':
        text_ += "\\\"";
        break;
      case '\\':
        text_ += "\\\\";
        break;
      case '\n':
        text_ += "\\n";
        break;
      case '\t':
        text_ += "\\t";
        break;
      case '\r':
        text_ += "\\r";
        break;
      default:
        if (c < 0x20 || c == 0x7f) {
          text_ += "\\u00";
          text_ += digits[c >> 4];
          text_ += digits[c & 15];
        } else {
          text_ += static_cast<char>(c);
        }
    }
  }
  text_ += '"';
}

}  // namespace oci
