// Owns: how a malformed OCI document is reported. Does not own: reading or deciding.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace oci {

// One thing wrong with a document. `path` is the JSON path as its author would write it
// (`linux.resources.memory.limit`, `mounts[3].options[0]`; empty for the document itself).
struct Problem {
  std::string path;
  std::string message;

  std::string text() const { return path.empty() ? message : path + ": " + message; }
  bool operator==(const Problem&) const = default;
};

// A document that cannot be used. Carries every problem found, not only the first;
// what() is "FILE: first problem" followed by the others, one a line.
class FormatError : public std::runtime_error {
 public:
  FormatError(std::string file, std::vector<Problem> problems)
      : std::runtime_error(join(file, problems)),
        file_(std::move(file)),
        problems_(std::move(problems)) {}

  const std::string& file() const { return file_; }
  const std::vector<Problem>& problems() const { return problems_; }

 private:
  // A document can have more than a log should carry.
  static constexpr size_t most_told = 50;

  static std::string join(const std::string& file, const std::vector<Problem>& problems) {
    std::string text;
    for (size_t i = 0; i < problems.size() && i < most_told; ++i) {
      if (!text.empty()) text += '\n';
      text += file + ": " + problems[i].text();
    }
    if (problems.size() > most_told)
      text +=
          "\n" + file + ": and " + std::to_string(problems.size() - most_told) + " more problems";
    return text.empty() ? file + ": malformed" : text;
  }

  std::string file_;
  std::vector<Problem> problems_;
};

}  // namespace oci
