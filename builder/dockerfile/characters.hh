// Owns: UTF-8 as the Dockerfile language sees it: one character at a time, blanks, letters.
// Does not own: any grammar.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::dockerfile {

// The character at `position`, which moves past it. A byte that is no UTF-8 comes back as
// 0xDC00 + byte and is written back as that byte by append_character.
char32_t next_character(std::string_view text, size_t& position);
void append_character(std::string& text, char32_t character);

std::vector<char32_t> characters(std::string_view text);
std::string text_of(const std::vector<char32_t>& characters);

// Unicode's White_Space property.
bool is_space(char32_t character);
bool is_letter(char32_t character);
bool is_digit(char32_t character);
bool is_printable(char32_t character);

// Without blanks at the left, the right, both ends.
std::string_view trim_left(std::string_view text);
std::string_view trim_right(std::string_view text);
std::string_view trim(std::string_view text);

// ASCII only: keywords, flags, stage names.
std::string lower(std::string_view text);
std::string upper(std::string_view text);

// Double quotes around, with Go's escapes: the notation of BuildKit's parse trees.
std::string go_quoted(std::string_view text);

// For messages: control characters become '?', so that a foreign Dockerfile cannot steer a
// terminal. Newlines and tabs stay.
std::string visible(std::string_view text);

}  // namespace kiln::dockerfile
