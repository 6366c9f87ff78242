// Owns: what verbs write to standard output, and how text of foreign origin is made fit for it.
// Does not own: progress (builder/progress) or messages about errors (main.cc).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::cli {

// Appends to standard output; throws SysError when it cannot be written (disk full, closed).
void print(std::string_view text);
// To be called before a verb's success is reported: buffered output that cannot be written is a
// failure of the command.
void flush_output();

// `text` with control characters, escape sequences and malformed UTF-8 replaced by `\xNN`, so that
// an image's metadata cannot steer a terminal.
std::string printable(std::string_view text);

// The same for a message of several lines: newlines and tabs stay.
std::string message_text(std::string_view text);

// Rows as aligned columns, three spaces apart, the first row being the heading.
std::string columns(const std::vector<std::vector<std::string>>& rows);

// "1.2GB" as `docker images` writes sizes (powers of 1000).
std::string human_size(int64_t bytes);
// "5 minutes ago" for a time in seconds since the epoch.
std::string human_age(int64_t then, int64_t now);
// First 12 hex digits of a digest text or hex.
std::string short_id(std::string_view digest);

}  // namespace kiln::cli
