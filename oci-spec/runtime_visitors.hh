// Owns: the two visitors, one that reads a JSON tree into the types and one that writes them back.
// Does not own: which members the types have (runtime_fields.hh and its neighbours).
//
// A type is described once, by `describe(visitor, value)`, for both directions; so nothing that is
// read can be forgotten when writing.
#pragma once

#include <charconv>
#include <concepts>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "oci-spec/json_document.hh"
#include "oci-spec/json_output.hh"

namespace oci {

// The type that `describe` takes: const when the visitor writes.
template <class Visitor, class T>
using Described = std::conditional_t<Visitor::writing, const T, T>;

template <class T>
concept Integer = std::integral<T> && !std::same_as<T, bool>;

// Collects problems instead of stopping at the first. A member that is `null` counts as absent,
// as Go's encoder writes empty slices that way.
class JsonReader {
 public:
  static constexpr bool writing = false;

  template <class T>
  static T read_document(std::string_view json, std::string_view file) {
    std::vector<Problem> problems;
    T value = read_document<T>(json, file, problems);
    if (!problems.empty()) throw FormatError(std::string(file), std::move(problems));
    return value;
  }

  // The same with what is wrong in `problems`; the members concerned keep their defaults.
  template <class T>
  static T read_document(std::string_view json, std::string_view file,
                         std::vector<Problem>& problems) {
    const JsonDocument document(json, file);
    JsonReader reader;
    T value;
    reader.read(document.root(), value);
    problems = std::move(reader.problems_);
    return value;
  }

  template <class T>
  void field(std::string_view name, T& out) {
    if (const JsonNode* node = find(name)) read_member(*node, out);
  }

  template <class T>
  void required(std::string_view name, T& out) {
    if (const JsonNode* node = find(name))
      read_member(*node, out);
    else
      problem_at(name, "is required");
  }

  template <class T>
  void required_if(bool needed, std::string_view name, T& out) {
    needed ? required(name, out) : field(name, out);
  }

  // A member outside what the spec allows. Checked only where the member was read without problems.
  void check(bool good, std::string_view name, std::string_view message) {
    if (!good && !has_problem(name)) problem_at(name, std::string(message));
  }

  // `value` is empty (absent) or one of a closed list.
  void one_of(std::string_view name, const std::string& value,
              std::initializer_list<std::string_view> allowed);

 private:
  struct Step {
    std::string_view key;
    size_t index;  // in an array when the key has no data pointer
  };

  void read(const JsonNode& node, bool& out);
  void read(const JsonNode& node, std::string& out);

  template <Integer T>
  void read(const JsonNode& node, T& out) {
    int64_t negative = 0;
    uint64_t positive = 0;
    if (!read_integer(node, negative, positive)) return;
    using Limits = std::numeric_limits<T>;
    const bool fits =
        node.text()[0] == '-' ? std::in_range<T>(negative) : std::in_range<T>(positive);
    if (!fits)
      return problem("expected " + std::to_string(Limits::min()) + " to " +
                     std::to_string(Limits::max()) + ", got " + std::string(node.text()));
    out = node.text()[0] == '-' ? static_cast<T>(negative) : static_cast<T>(positive);
  }

  template <class T>
  void read(const JsonNode& node, std::optional<T>& out) {
    read(node, out.emplace());
  }

  template <class T>
  void read(const JsonNode& node, std::vector<T>& out) {
    if (node.type() != JsonType::array) return unexpected("an array", node);
    size_t count = 0;
    for (const JsonNode* n = node.begin(); n != node.end(); n = n->next()) ++count;
    out.clear();
    out.reserve(count);
    for (const JsonNode* n = node.begin(); n != node.end(); n = n->next()) {
      path_.push_back({{}, out.size()});
      read(*n, out.emplace_back());
      path_.pop_back();
    }
  }

  template <class T>
  void read(const JsonNode& node, std::map<std::string, T>& out) {
    if (node.type() != JsonType::object) return unexpected("an object", node);
    for (const JsonNode* n = node.begin(); n != node.end(); n = n->next()) {
      path_.push_back({n->key(), 0});
      const auto [entry, added] = out.try_emplace(std::string(n->key()));
      if (!added) problem("is there twice");
      if (n->key().find('\0') != n->key().npos) problem("must not contain a NUL character");
      read(*n, entry->second);
      path_.pop_back();
    }
  }

  template <class T>
  requires std::is_class_v<T>
  void read(const JsonNode& node, T& out) {
    if (node.type() != JsonType::object) return unexpected("an object", node);
    const JsonNode* const outer = std::exchange(object_, &node);
    const JsonNode* const outer_expected = std::exchange(expected_, node.begin());
    describe(*this, out);
    object_ = outer;
    expected_ = outer_expected;
  }

  template <class T>
  void read_member(const JsonNode& node, T& out) {
    path_.push_back({node.key(), 0});
    read(node, out);
    path_.pop_back();
  }

  // The member of the current object, nullptr when absent or null; a second one is a problem.
  const JsonNode* find(std::string_view name);
  bool read_integer(const JsonNode& node, int64_t& negative, uint64_t& positive);

  std::string path_text() const;
  void problem(std::string message);
  void problem_at(std::string_view name, std::string message);
  bool has_problem(std::string_view name) const;
  void unexpected(std::string_view wanted, const JsonNode& got);

  const JsonNode* object_ = nullptr;
  const JsonNode* expected_ = nullptr;  // where the next member likely is
  std::vector<Step> path_;
  std::vector<Problem> problems_;
};

class JsonWriter {
 public:
  static constexpr bool writing = true;

  template <class T>
  static std::string write_document(const T& value, int indent) {
    JsonWriter writer(indent);
    writer.write(value);
    return writer.out_.take();
  }

  // Absent (empty, false, nullopt) members are not written.
  template <class T>
  void field(std::string_view name, const T& value) {
    if (present(value)) required(name, value);
  }

  template <class T>
  void required(std::string_view name, const T& value) {
    out_.key(name);
    write(value);
  }

  template <class T>
  void required_if(bool needed, std::string_view name, const T& value) {
    needed ? required(name, value) : field(name, value);
  }

  void check(bool, std::string_view, std::string_view) {}
  void one_of(std::string_view, const std::string&, std::initializer_list<std::string_view>) {}

 private:
  explicit JsonWriter(int indent) : out_(indent) {}

  template <class T>
  static bool present(const T& value) {
    if constexpr (std::is_arithmetic_v<T>)
      return value != T{};
    else if constexpr (requires { value.has_value(); })
      return value.has_value();
    else if constexpr (requires { value.empty(); })
      return !value.empty();
    else
      return true;
  }

  void write(bool value) { out_.boolean(value); }
  void write(const std::string& value) { out_.string(value); }
  template <Integer T>
  void write(T value) {
    if constexpr (std::signed_integral<T>)
      out_.integer(int64_t{value});
    else
      out_.integer(uint64_t{value});
  }
  template <class T>
  void write(const std::optional<T>& value) {
    value ? write(*value) : out_.null();
  }
  template <class T>
  void write(const std::vector<T>& values) {
    out_.begin_array();
    for (const T& v : values) write(v);
    out_.end_array();
  }
  template <class T>
  void write(const std::map<std::string, T>& values) {
    out_.begin_object();
    for (const auto& [name, v] : values) required(name, v);
    out_.end_object();
  }
  template <class T>
  requires std::is_class_v<T>
  void write(const T& value) {
    out_.begin_object();
    describe(*this, value);
    out_.end_object();
  }

  JsonOutput out_;
};

}  // namespace oci
