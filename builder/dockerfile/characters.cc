#include "builder/dockerfile/characters.hh"

#include <locale.h>
#include <wctype.h>

#include <algorithm>
#include <cstdint>

namespace kiln::dockerfile {

namespace {

constexpr char32_t invalid_byte = 0xDC00;

// glibc has C.UTF-8 built in from 2.35; without it only ASCII counts as letters.
locale_t unicode_locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

bool ascii_letter(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

}  // namespace

char32_t next_character(std::string_view text, size_t& position) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(position);
  const size_t length = sequence_length(lead);
  if (length == 1) {
    ++position;
    return lead;
  }
  const char32_t invalid = invalid_byte + lead;
  if (length == 0 || position + length > text.size()) {
    ++position;
    return invalid;
  }
  char32_t code = lead & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(position + i) & 0xC0) != 0x80) {
      ++position;
      return invalid;
    }
    code = (code << 6) | (byte(position + i) & 0x3FU);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  if (overlong || (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF) {
    ++position;
    return invalid;
  }
  position += length;
  return code;
}

void append_character(std::string& text, char32_t c) {
  const auto push = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    push(c);
  } else if (c >= invalid_byte + 0x80 && c <= invalid_byte + 0xFF) {
    push(c - invalid_byte);
  } else if (c < 0x800) {
    push(0xC0 | (c >> 6));
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | (c >> 12));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | (c >> 18));
    push(0x80 | ((c >> 12) & 0x3F));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

std::vector<char32_t> characters(std::string_view text) {
  std::vector<char32_t> result;
  result.reserve(text.size());
  for (size_t position = 0; position < text.size();) {
    result.push_back(next_character(text, position));
  }
  return result;
}

std::string text_of(const std::vector<char32_t>& characters) {
  std::string text;
  text.reserve(characters.size());
  for (const char32_t c : characters) append_character(text, c);
  return text;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_letter(char32_t c) {
  if (c < 0x80) return ascii_letter(c);
  return unicode_locale() != nullptr && iswalpha_l(static_cast<wint_t>(c), unicode_locale()) != 0;
}

bool is_digit(char32_t c) {
  return c >= '0' && c <= '9';
}

bool is_printable(char32_t c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7F;
  if (is_space(c) || (c >= 0xD800 && c <= 0xDFFF)) return false;
  return unicode_locale() != nullptr && iswprint_l(static_cast<wint_t>(c), unicode_locale()) != 0;
}

std::string_view trim_left(std::string_view text) {
  for (size_t position = 0; position < text.size();) {
    const size_t start = position;
    if (!is_space(next_character(text, position))) return text.substr(start);
  }
  return {};
}

std::string_view trim_right(std::string_view text) {
  size_t end = 0;  // past the last character that is no blank
  for (size_t position = 0; position < text.size();) {
    if (!is_space(next_character(text, position))) end = position;
  }
  return text.substr(0, end);
}

std::string_view trim(std::string_view text) {
  return trim_right(trim_left(text));
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return result;
}

std::string upper(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return result;
}

std::string go_quoted(std::string_view text) {
  static constexpr std::string_view hex = "0123456789abcdef";
  static constexpr std::string_view control = "abtnvfr";  // 7 to 13
  std::string result = "\"";
  const auto digits = [&](char32_t value, int count) {
    for (int shift = (count - 1) * 4; shift >= 0; shift -= 4) result += hex[(value >> shift) & 0xF];
  };
  for (const char32_t c : characters(text)) {
    if (c == '"' || c == '\\') {
      result += '\\';
      append_character(result, c);
    } else if (is_printable(c)) {
      append_character(result, c);
    } else if (c >= 7 && c <= 13) {
      result += '\\';
      result += control[c - 7];
    } else if (c < ' ' || c == 0x7F || (c >= invalid_byte && c <= invalid_byte + 0xFF)) {
      result += "\\x";
      digits(c & 0xFF, 2);
    } else {
      result += c < 0x10000 ? "\\u" : "\\U";
      digits(c, c < 0x10000 ? 4 : 8);
    }
  }
  return result + '"';
}

std::string visible(std::string_view text) {
  std::string result;
  for (const char32_t c : characters(text)) {
    const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= invalid_byte && c < 0xE000);
    append_character(result, control && c != '\n' && c != '\t' ? U'?' : c);
  }
  return result;
}

}  // namespace kiln::dockerfile
