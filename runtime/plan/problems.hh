// Owns: the list of everything that speaks against a plan, kept until all rooms have looked.
// Does not own: finding them, or printing them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vessel {

struct PlanProblem {
  // Wrong wherever it is run; only not possible on this host (kernel, privileges, hardware); the
  // same, but left out with a warning because every engine expects that.
  enum class Kind : uint8_t { config, host, left_out };
  Kind kind;
  std::string path;  // JSON path in config.json, empty for the whole
  std::string message;

  std::string text() const { return path.empty() ? message : path + ": " + message; }
};

class Problems {
 public:
  void config(std::string path, std::string message) {
    list_.push_back({PlanProblem::Kind::config, std::move(path), std::move(message)});
  }
  void host(std::string path, std::string message) {
    list_.push_back({PlanProblem::Kind::host, std::move(path), std::move(message)});
  }
  void leave_out(std::string path, std::string message) {
    list_.push_back({PlanProblem::Kind::left_out, std::move(path), std::move(message)});
  }
  void warn(std::string_view path, std::string_view message) {
    warnings_.push_back(std::string(path).append(": ").append(message));
  }

  const std::vector<PlanProblem>& list() const { return list_; }
  std::vector<std::string>& warnings() { return warnings_; }

 private:
  std::vector<PlanProblem> list_;
  std::vector<std::string> warnings_;
};

// "mounts[3].options"
inline std::string at(std::string_view array, size_t index, std::string_view member = {}) {
  std::string path(array);
  path.append("[").append(std::to_string(index)).append("]");
  if (!member.empty()) path.append(".").append(member);
  return path;
}

}  // namespace vessel
