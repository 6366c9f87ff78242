// Owns: here-documents: what a word `<<NAME` announces, and the body that follows the instruction.
// Does not own: which instructions may have them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::dockerfile {

struct Heredoc {
  std::string name;         // the terminator, without quotes
  unsigned descriptor = 0;  // N of `N<<NAME`
  bool expand = true;       // false when any part of the word was quoted
  bool chomp = false;       // `<<-`: leading tabs are removed from body and terminator
  std::string content;      // as written, tabs included; each line ends in its own newline

  bool operator==(const Heredoc&) const = default;
};

// The announcement in `word`, or nullopt when it is not one. Throws Error for a word whose quotes
// do not end.
std::optional<Heredoc> parse_heredoc_word(std::string_view word);
// All announcements of a line, in order. Unfinished quotes end the search without an error: the
// line is a shell's, not ours.
std::vector<Heredoc> heredocs_of_line(std::string_view line);
// `content` without the leading tabs of each line.
std::string chomp_tabs(std::string_view content);

}  // namespace kiln::dockerfile
