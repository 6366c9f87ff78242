// Owns: reading the `--name=value` flags of an instruction against the list of those that it knows.
// Does not own: what a value means.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kiln::dockerfile {

struct FlagSpec {
  enum class Kind { boolean, text, list };
  std::string_view name;
  Kind kind = Kind::text;
};

class Flags {
 public:
  // Throws Complaint: unknown flag (with the nearest), given twice, without value, not a boolean.
  Flags(const std::vector<std::string>& flags, std::initializer_list<FlagSpec> known);

  std::string text(std::string_view name) const;  // empty when not given
  std::optional<bool> boolean(std::string_view name) const;
  std::vector<std::string> list(std::string_view name) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

}  // namespace kiln::dockerfile
