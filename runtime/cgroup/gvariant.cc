#include "runtime/cgroup/gvariant.hh"

#include <charconv>
#include <limits>

#include "runtime/sys/error.hh"

namespace vessel {

namespace {

struct Keyword {
  std::string_view name;
  std::string_view signature;
};

constexpr Keyword keywords[] = {
    {"boolean", "b"}, {"byte", "y"},       {"int16", "n"},    {"uint16", "q"}, {"int32", "i"},
    {"uint32", "u"},  {"int64", "x"},      {"uint64", "t"},   {"double", "d"}, {"handle", "h"},
    {"string", "s"},  {"objectpath", "o"}, {"signature", "g"}};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  DbusValue whole() {
    DbusValue value = parse("");
    space();
    if (at_ != text_.size()) fail("unexpected text after the value");
    return value;
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw Error("GVariant text, character " + std::to_string(at_ + 1) + ": " + std::string(what));
  }

  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n'))
      ++at_;
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    space();
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(std::string("expected '") + c + "'");
  }

  static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '+' || c == '-' || c == '_';
  }

  // `want` is the type that the place asks for; empty: any.
  DbusValue parse(std::string_view want) {
    if (++depth_ > 16) fail("nested too deeply");
    space();
    DbusValue value = parse_at(want);
    if (!want.empty() && value.signature != want)
      fail("expected a value of type " + std::string(want) + ", got " + value.signature);
    --depth_;
    return value;
  }

  DbusValue parse_at(std::string_view want) {
    char c = peek();
    if (c == '@') {
      ++at_;
      size_t size = complete_type(text_.substr(at_));
      std::string_view type = text_.substr(at_, size);
      at_ += size;
      return parse(type);
    }
    if (c == '[') return array(want);
    if (c == '(') return tuple(want);
    if (take('<')) {
      DbusValue inner = parse("");
      expect('>');
      return dbus_variant(std::move(inner));
    }
    if (c == '"' || c == '\'') return string(want);
    if (c == 'b' && at_ + 1 < text_.size() && (text_[at_ + 1] == '"' || text_[at_ + 1] == '\'')) {
      ++at_;
      std::string bytes = quoted() + '\0';
      return dbus_bytes({bytes.begin(), bytes.end()});
    }
    size_t start = at_;
    while (is_word(peek())) ++at_;
    std::string_view word = text_.substr(start, at_ - start);
    if (word.empty()) fail("expected a value");
    if (word == "true" || word == "false") return dbus_bool(word == "true");
    for (const Keyword& keyword : keywords)
      if (word == keyword.name) return parse(keyword.signature);
    return number(word, want);
  }

  DbusValue array(std::string_view want) {
    std::string element;
    if (want.starts_with('a')) element = want.substr(1);
    expect('[');
    std::vector<DbusValue> parts;
    while (!take(']')) {
      if (!parts.empty()) expect(',');
      parts.push_back(parse(element));
      if (element.empty()) element = parts[0].signature;
    }
    if (element.empty()) fail("an empty array needs its type in front (@as [])");
    return dbus_array(element, std::move(parts));
  }

  DbusValue tuple(std::string_view want) {
    std::string_view inner = want.starts_with('(') ? want.substr(1, want.size() - 2) : "";
    expect('(');
    std::vector<DbusValue> parts;
    while (!take(')')) {
      if (!parts.empty()) {
        expect(',');
        if (take(')')) break;  // "(1,)" is the one-tuple
      }
      std::string_view type = inner.empty() ? inner : inner.substr(0, complete_type(inner));
      inner.remove_prefix(type.size());
      parts.push_back(parse(type));
    }
    if (parts.empty()) fail("D-Bus has no empty tuple");
    return dbus_struct(std::move(parts));
  }

  std::string quoted() {
    char quote = text_[at_++];
    std::string out;
    while (peek() != quote) {
      if (at_ >= text_.size()) fail("the string does not end");
      char c = text_[at_++];
      if (c != '\\') {
        out += c;
        continue;
      }
      char escaped = at_ < text_.size() ? text_[at_++] : '\0';
      switch (escaped) {
        case 'n':
          out += '\n';
          break;
        case 't':
          out += '\t';
          break;
        case 'r':
          out += '\r';
          break;
        case 'a':
          out += '\a';
          break;
        case 'b':
          out += '\b';
          break;
        case 'f':
          out += '\f';
          break;
        case 'v':
          out += '\v';
          break;
        case '\\':
        case '\'':
        case '"':
          out += escaped;
          break;
        default:
          fail("unknown escape");
      }
    }
    ++at_;
    return out;
  }

  DbusValue string(std::string_view want) {
    std::string text = quoted();
    if (text.find('\0') != std::string::npos) fail("a string holds no NUL");
    return {want == "o" || want == "g" ? std::string(want) : "s", std::move(text)};
  }

  DbusValue number(std::string_view word, std::string_view want) {
    std::string type(want);
    bool hex = word.find("0x") != std::string_view::npos;
    if (type.empty())
      type = !hex && word.find_first_of(".eE") != std::string_view::npos ? "d" : "i";
    if (type == "d") {
      double value = 0;
      auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
      if (error != std::errc() || end != word.data() + word.size()) fail("not a number");
      return {"d", value};
    }
    bool negative = word.starts_with('-');
    if (negative || word.starts_with('+')) word.remove_prefix(1);
    int base = 10;
    if (word.starts_with("0x")) {
      base = 16;
      word.remove_prefix(2);
    } else if (word.size() > 1 && word[0] == '0') {
      base = 8;
    }
    uint64_t magnitude = 0;
    auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), magnitude, base);
    if (error != std::errc() || end != word.data() + word.size()) fail("not a number");
    uint64_t limit = 0;
    switch (type[0]) {
      case 'y':
        limit = UINT8_MAX;
        break;
      case 'q':
        limit = UINT16_MAX;
        break;
      case 'u':
      case 'h':
        limit = UINT32_MAX;
        break;
      case 't':
        limit = UINT64_MAX;
        break;
      case 'n':
        limit = INT16_MAX;
        break;
      case 'i':
        limit = INT32_MAX;
        break;
      case 'x':
        limit = INT64_MAX;
        break;
      default:
        fail("a number where another type is wanted");
    }
    bool is_signed = type[0] == 'n' || type[0] == 'i' || type[0] == 'x';
    if (negative && !is_signed) fail("negative");
    if (magnitude > limit + (negative ? 1 : 0)) fail("out of range for its type");
    return {type, negative ? ~magnitude + 1 : magnitude};
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

DbusValue parse_gvariant(std::string_view text) {
  return Parser(text).whole();
}

}  // namespace vessel
