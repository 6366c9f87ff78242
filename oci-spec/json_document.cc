#include "oci-spec/json_document.hh"

#include <algorithm>

namespace oci {

std::string_view json_type_name(JsonType type) {
  switch (type) {
    case JsonType::null:
      return "null";
    case JsonType::boolean:
      return "a boolean";
    case JsonType::number:
      return "a number";
    case JsonType::string:
      return "a string";
    case JsonType::array:
      return "an array";
    case JsonType::object:
      return "an object";
  }
  return "?";
}

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Length of the well-formed UTF-8 sequence at `p` (Unicode table 3-7), 0 when there is none.
size_t utf8_length(const char* p, const char* end) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(p[i]); };
  const auto follows = [&](size_t i, unsigned low, unsigned high) {
    return p + i < end && byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return follows(1, 0x80, 0xbf) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const unsigned low = lead == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = lead == 0xed ? 0x9f : 0xbf;
    return follows(1, low, high) && follows(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const unsigned low = lead == 0xf0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xf4 ? 0x8f : 0xbf;
    return follows(1, low, high) && follows(2, 0x80, 0xbf) && follows(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

void append_utf8(std::string& out, uint32_t c) {
  const auto put = [&](uint32_t v) { out += static_cast<char>(v); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

class Parser {
 public:
  Parser(std::string_view text, std::string_view file, std::vector<JsonNode>& nodes,
         std::string& unescaped)
      : begin_(text.data()),
        p_(begin_),
        end_(begin_ + text.size()),
        file_(file),
        nodes_(nodes),
        unescaped_(unescaped) {}

  void document() {
    if (static_cast<size_t>(end_ - begin_) > JsonNode::longest_text) fail("the text is too long");
    skip_space();
    value({}, 0);
    skip_space();
    if (p_ != end_) fail("unexpected content behind the document");
  }

 private:
  static constexpr int max_depth = 256;

  [[noreturn]] void fail(std::string message) const {
    const std::string_view before(begin_, static_cast<size_t>(p_ - begin_));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t newline = before.rfind('\n');
    const size_t column = before.size() - (newline == before.npos ? 0 : newline + 1) + 1;
    throw FormatError(std::string(file_),
                      {{"", "line " + std::to_string(line) + ", column " + std::to_string(column) +
                                ": " + std::move(message)}});
  }

  void skip_space() {
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
  }

  bool take(char c) {
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }

  void value(std::string_view key, int depth) {
    if (depth > max_depth) fail("nested too deeply");
    if (p_ == end_) fail("unexpected end, expected a value");
    const size_t index = nodes_.size();
    nodes_.emplace_back(key);
    const auto leaf = [&](JsonType type, std::string_view text) {
      nodes_[index].become(type, text);
    };
    const auto parent = [&](JsonType type) { nodes_[index].become(type, nodes_.size() - index); };
    switch (*p_) {
      case '{':
        members(depth), parent(JsonType::object);
        break;
      case '[':
        elements(depth), parent(JsonType::array);
        break;
      case '"':
        leaf(JsonType::string, string());
        break;
      case 't':
        leaf(JsonType::boolean, word("true"));
        break;
      case 'f':
        leaf(JsonType::boolean, word("false"));
        break;
      case 'n':
        leaf(JsonType::null, word("null"));
        break;
      default:
        leaf(JsonType::number, number());
    }
  }

  void members(int depth) {
    ++p_;
    skip_space();
    if (take('}')) return;
    for (;;) {
      if (p_ == end_ || *p_ != '"') fail("expected a member name in quotes");
      const std::string_view key = string();
      skip_space();
      if (!take(':')) fail("expected ':' behind a member name");
      skip_space();
      value(key, depth + 1);
      skip_space();
      if (take('}')) return;
      if (!take(',')) fail("expected ',' or '}'");
      skip_space();
    }
  }

  void elements(int depth) {
    ++p_;
    skip_space();
    if (take(']')) return;
    for (;;) {
      value({}, depth + 1);
      skip_space();
      if (take(']')) return;
      if (!take(',')) fail("expected ',' or ']'");
      skip_space();
    }
  }

  std::string_view word(std::string_view expected) {
    if (static_cast<size_t>(end_ - p_) < expected.size() ||
        std::string_view(p_, expected.size()) != expected)
      fail("expected a value");
    const std::string_view text(p_, expected.size());
    p_ += expected.size();
    return text;
  }

  std::string_view number() {
    const char* const start = p_;
    const auto digits = [&] {
      if (p_ == end_ || !is_digit(*p_)) fail(p_ == start ? "expected a value" : "expected a digit");
      while (p_ != end_ && is_digit(*p_)) ++p_;
    };
    take('-');
    if (!take('0')) digits();
    if (take('.')) digits();
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      digits();
    }
    return {start, static_cast<size_t>(p_ - start)};
  }

  // Points into the text when nothing is escaped, else into unescaped_.
  std::string_view string() {
    const char* const start = ++p_;
    while (p_ != end_ && *p_ != '"' && *p_ != '\\') plain();
    if (take('"')) return {start, static_cast<size_t>(p_ - 1 - start)};
    const size_t offset = unescaped_.size();
    unescaped_.append(start, p_);
    while (p_ != end_ && *p_ != '"') {
      if (*p_ == '\\') {
        escape();
      } else {
        const char* const from = p_;
        plain();
        unescaped_.append(from, p_);
      }
    }
    if (!take('"')) fail("unexpected end in a string");
    return std::string_view(unescaped_).substr(offset);
  }

  void plain() {
    const auto c = static_cast<unsigned char>(*p_);
    if (c < 0x20) fail("control character in a string, it must be escaped");
    const size_t length = c < 0x80 ? 1 : utf8_length(p_, end_);
    if (length == 0) fail("not valid UTF-8");
    p_ += length;
  }

  uint32_t hex4() {
    uint32_t v = 0;
    for (int i = 0; i < 4; ++i, ++p_) {
      if (p_ == end_) fail("unexpected end in a string");
      const char c = *p_;
      const int digit = is_digit(c)              ? c - '0'
                        : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                        : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                                 : -1;
      if (digit < 0) fail("expected four hex digits behind \\u");
      v = v << 4 | static_cast<uint32_t>(digit);
    }
    return v;
  }

  void escape() {
    ++p_;
    if (p_ == end_) fail("unexpected end in a string");
    switch (*p_++) {
      case '"':
        unescaped_ += '"';
        return;
      case '\\':
        unescaped_ += '\\';
        return;
      case '/':
        unescaped_ += '/';
        return;
      case 'b':
        unescaped_ += '\b';
        return;
      case 'f':
        unescaped_ += '\f';
        return;
      case 'n':
        unescaped_ += '\n';
        return;
      case 'r':
        unescaped_ += '\r';
        return;
      case 't':
        unescaped_ += '\t';
        return;
      case 'u':
        break;
      default:
        fail("unknown escape in a string");
    }
    uint32_t c = hex4();
    if (c >= 0xdc00 && c <= 0xdfff) fail("unpaired surrogate in a string");
    if (c >= 0xd800 && c <= 0xdbff) {
      if (!take('\\') || !take('u')) fail("unpaired surrogate in a string");
      const uint32_t low = hex4();
      if (low < 0xdc00 || low > 0xdfff) fail("unpaired surrogate in a string");
      c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(unescaped_, c);
  }

  const char* const begin_;
  const char* p_;
  const char* const end_;
  const std::string_view file_;
  std::vector<JsonNode>& nodes_;
  std::string& unescaped_;
};

}  // namespace

JsonDocument::JsonDocument(std::string_view text, std::string_view file) {
  // A node needs at least two characters of text ("0,"), seldom fewer than twelve.
  nodes_.reserve(text.size() / 12 + 8);
  if (text.find('\\') != text.npos) unescaped_.reserve(text.size());
  Parser(text, file, nodes_, unescaped_).document();
}

}  // namespace oci
