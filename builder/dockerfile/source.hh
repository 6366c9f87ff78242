// Owns: the text of a Dockerfile, ranges in it, and the error that points into it.
// Does not own: any grammar.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "builder/sys/error.hh"

namespace kiln::dockerfile {

// What is larger is neither a Dockerfile nor a .dockerignore.
inline constexpr size_t most_bytes = size_t{16} << 20;

// A stretch of the source. Lines count from 1 and include both ends; bytes are [begin, end).
struct SourceRange {
  size_t begin = 0;
  size_t end = 0;
  size_t first_line = 1;
  size_t last_line = 1;

  bool operator==(const SourceRange&) const = default;
};

// A Dockerfile's text with its name as the user gave it ("Dockerfile", "build/app.Dockerfile",
// "-").
class Source {
 public:
  Source(std::string name, std::string text);

  const std::string& name() const { return name_; }
  const std::string& text() const { return text_; }
  size_t line_count() const { return starts_.size(); }

  // Line `number` (from 1) without its line ending; empty when there is no such line.
  std::string_view line(size_t number) const;
  // The first `count` bytes from `begin`, and the lines that they touch.
  SourceRange range(size_t begin, size_t end) const;
  // Whole lines `first` to `last`, from the first character that is no blank.
  SourceRange lines(size_t first, size_t last) const;
  // Where `text` first occurs inside `within`; `within` itself when it does not (the text came out
  // of joined or expanded lines).
  SourceRange find(const SourceRange& within, std::string_view text) const;

  // "NAME:12" for the first line of `range`.
  std::string position(const SourceRange& range) const;
  // The first line of `range` with carets below it:
  //     12 | COPPY . /app
  //        | ^^^^^
  std::string excerpt(const SourceRange& range) const;

 private:
  std::string name_;
  std::string text_;
  std::vector<size_t> starts_;  // byte offset of each line
};

// Something wrong at a place of a Dockerfile. what() is "NAME:LINE: message"; render() adds the
// source line and a caret, and `hint` ("did you mean COPY?") on a line of its own where there is
// one.
class DockerfileError : public Error {
 public:
  DockerfileError(const Source& source, const SourceRange& range, const std::string& message,
                  std::string hint = {});

  const SourceRange& range() const { return range_; }
  const std::string& reason() const { return reason_; }  // the message without its place
  const std::string& hint() const { return hint_; }
  // what() and, below it, the source line with carets and the hint. No trailing newline.
  std::string render() const;

 private:
  SourceRange range_;
  std::string reason_;
  std::string excerpt_;
  std::string hint_;
};

}  // namespace kiln::dockerfile
