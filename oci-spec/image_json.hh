// Owns: typed, bounded access to the JSON of an image document, collecting every problem with its
// path. Does not own: what the documents mean.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci-spec/format_error.hh"

namespace oci::detail {

// Bounds on what an untrusted document may hold. distribution-spec lets registries refuse manifests
// of more than 4 MiB; configs with long histories are larger.
inline constexpr size_t manifest_limit = size_t{4} << 20;
inline constexpr size_t config_limit = size_t{16} << 20;
inline constexpr int depth_limit = 32;
inline constexpr size_t count_limit = 100'000;  // members of one object, items of one array
inline constexpr size_t string_limit = size_t{1} << 20;  // bytes
inline constexpr size_t problem_limit = 50;              // further ones are only counted

enum class Need { optional, required };

// The problems of one document.
class Problems {
 public:
  void add(std::string path, std::string message);
  // Throws FormatError if there are any.
  void check(std::string_view file);

 private:
  std::vector<Problem> problems_;
  size_t dropped_ = 0;
};

// A place in the document. A wrong type is reported once and reads as absent; so does null, which
// Go programs write for empty lists and maps.
class Node {
 public:
  Node(const nlohmann::json* value, std::string path, Problems& problems)
      : value_(value), path_(std::move(path)), problems_(&problems) {}

  const std::string& path() const { return path_; }
  void problem(std::string message) const { problems_->add(path_, std::move(message)); }

  bool has(std::string_view name) const;  // there and not null
  Node member(std::string_view name) const;

  std::string string(std::string_view name, Need need = Need::optional) const;
  std::optional<int64_t> integer(std::string_view name, Need need = Need::optional) const;
  bool boolean(std::string_view name) const;
  std::vector<std::string> strings(std::string_view name) const;
  // Told apart from an empty list.
  std::optional<std::vector<std::string>> try_strings(std::string_view name) const;
  std::map<std::string, std::string> string_map(std::string_view name) const;
  std::vector<std::string> keys(std::string_view name) const;  // of a set written as an object
  // Calls `each` for every item of an array of objects.
  void objects(std::string_view name, Need need,
               const std::function<void(const Node&)>& each) const;
  // Calls `use` if the member is an object.
  void object(std::string_view name, Need need, const std::function<void(const Node&)>& use) const;

 private:
  const nlohmann::json* find(std::string_view name, Need need) const;
  std::string checked(const nlohmann::json& value, const std::string& path) const;
  std::string path_of(std::string_view name) const;

  const nlohmann::json* value_;
  std::string path_;
  Problems* problems_;
};

// Parses `text`, hands its top-level object to `read`, and throws FormatError if either failed or
// reported anything.
void read_document(std::string_view text, std::string_view file, size_t limit,
                   const std::function<void(const Node&)>& read);

}  // namespace oci::detail
