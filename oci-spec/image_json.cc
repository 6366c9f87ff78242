#include "oci-spec/image_json.hh"

#include <nlohmann/json.hpp>

namespace oci::detail {

using nlohmann::json;

namespace {

std::string expected(std::string_view wanted, const json& got) {
  return "expected " + std::string(wanted) + ", got " +
         (got.is_number()    ? "a number"
          : got.is_string()  ? "a string"
          : got.is_boolean() ? "a boolean"
          : got.is_array()   ? "an array"
          : got.is_object()  ? "an object"
                             : "null");
}

}  // namespace

void Problems::add(std::string path, std::string message) {
  if (problems_.size() < problem_limit)
    problems_.push_back({std::move(path), std::move(message)});
  else
    ++dropped_;
}

void Problems::check(std::string_view file) {
  if (problems_.empty()) return;
  if (dropped_ > 0)
    problems_.push_back({"", "and " + std::to_string(dropped_) + " further problems"});
  throw FormatError(std::string(file), std::move(problems_));
}

std::string Node::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

const json* Node::find(std::string_view name, Need need) const {
  const auto it = value_->is_object() ? value_->find(name) : value_->end();
  if (it != value_->end() && !it->is_null()) return &*it;
  if (need == Need::required) problems_->add(path_of(name), "is required");
  return nullptr;
}

bool Node::has(std::string_view name) const {
  return find(name, Need::optional) != nullptr;
}

Node Node::member(std::string_view name) const {
  static const json nothing;
  const json* value = find(name, Need::optional);
  return {value ? value : &nothing, path_of(name), *problems_};
}

std::string Node::checked(const json& value, const std::string& path) const {
  if (!value.is_string()) {
    problems_->add(path, expected("a string", value));
    return {};
  }
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > string_limit) {
    problems_->add(path, "is longer than 1 MiB");
    return {};
  }
  // No consumer of these strings (paths, environment, names) can hold a NUL.
  if (text.find('\0') != text.npos) {
    problems_->add(path, "contains a NUL");
    return {};
  }
  return text;
}

std::string Node::string(std::string_view name, Need need) const {
  const json* value = find(name, need);
  if (value == nullptr) return {};
  std::string text = checked(*value, path_of(name));
  if (need == Need::required && value->is_string() && value->get_ref<const std::string&>().empty())
    problems_->add(path_of(name), "is required and empty");
  return text;
}

std::optional<int64_t> Node::integer(std::string_view name, Need need) const {
  const json* value = find(name, need);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) {
    problems_->add(path_of(name), expected("an integer", *value));
    return std::nullopt;
  }
  if (value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX}) {
    problems_->add(path_of(name), "is out of range");
    return std::nullopt;
  }
  return value->get<int64_t>();
}

bool Node::boolean(std::string_view name) const {
  const json* value = find(name, Need::optional);
  if (value == nullptr) return false;
  if (!value->is_boolean()) {
    problems_->add(path_of(name), expected("a boolean", *value));
    return false;
  }
  return value->get<bool>();
}

std::optional<std::vector<std::string>> Node::try_strings(std::string_view name) const {
  const json* value = find(name, Need::optional);
  if (value == nullptr) return std::nullopt;
  const std::string path = path_of(name);
  if (!value->is_array()) {
    problems_->add(path, expected("an array of strings", *value));
    return std::nullopt;
  }
  if (value->size() > count_limit) {
    problems_->add(path, "has more than " + std::to_string(count_limit) + " items");
    return std::nullopt;
  }
  std::vector<std::string> result;
  result.reserve(value->size());
  for (size_t i = 0; i < value->size(); ++i)
    result.push_back(checked((*value)[i], path + "[" + std::to_string(i) + "]"));
  return result;
}

std::vector<std::string> Node::strings(std::string_view name) const {
  return try_strings(name).value_or(std::vector<std::string>());
}

std::map<std::string, std::string> Node::string_map(std::string_view name) const {
  std::map<std::string, std::string> result;
  const json* value = find(name, Need::optional);
  if (value == nullptr) return result;
  const std::string path = path_of(name);
  if (!value->is_object()) {
    problems_->add(path, expected("an object of strings", *value));
    return result;
  }
  if (value->size() > count_limit) {
    problems_->add(path, "has more than " + std::to_string(count_limit) + " members");
    return result;
  }
  for (const auto& [key, item] : value->items()) {
    if (key.find('\0') != key.npos || key.size() > string_limit)
      problems_->add(path, "has a key that is too long or contains a NUL");
    else
      result.emplace(key, checked(item, path + "[\"" + key + "\"]"));
  }
  return result;
}

std::vector<std::string> Node::keys(std::string_view name) const {
  std::vector<std::string> result;
  const json* value = find(name, Need::optional);
  if (value == nullptr) return result;
  const std::string path = path_of(name);
  if (!value->is_object()) {
    problems_->add(path, expected("an object", *value));
    return result;
  }
  if (value->size() > count_limit) {
    problems_->add(path, "has more than " + std::to_string(count_limit) + " members");
    return result;
  }
  for (const auto& [key, item] : value->items()) {
    if (!item.is_object() && !item.is_null())
      problems_->add(path + "[\"" + key + "\"]", expected("an empty object", item));
    result.push_back(checked(json(key), path));
  }
  return result;
}

void Node::objects(std::string_view name, Need need,
                   const std::function<void(const Node&)>& each) const {
  const json* value = find(name, need);
  if (value == nullptr) return;
  const std::string path = path_of(name);
  if (!value->is_array()) {
    problems_->add(path, expected("an array", *value));
    return;
  }
  if (value->size() > count_limit) {
    problems_->add(path, "has more than " + std::to_string(count_limit) + " items");
    return;
  }
  for (size_t i = 0; i < value->size(); ++i) {
    const Node item(&(*value)[i], path + "[" + std::to_string(i) + "]", *problems_);
    if (item.value_->is_object())
      each(item);
    else
      item.problem(expected("an object", *item.value_));
  }
}

void Node::object(std::string_view name, Need need,
                  const std::function<void(const Node&)>& use) const {
  const json* value = find(name, need);
  if (value == nullptr) return;
  if (!value->is_object())
    problems_->add(path_of(name), expected("an object", *value));
  else
    use(Node(value, path_of(name), *problems_));
}

void read_document(std::string_view text, std::string_view file, size_t limit,
                   const std::function<void(const Node&)>& read) {
  Problems problems;
  if (text.size() > limit) {
    problems.add("", "is " + std::to_string(text.size()) + " bytes long, at most " +
                         std::to_string(limit) + " are read");
    problems.check(file);
  }
  json document;
  try {
    // The callback runs for every value; it is there to stop at a depth that no document has.
    document = json::parse(text, [&](int depth, json::parse_event_t, json&) {
      if (depth > depth_limit) throw std::length_error("nesting is too deep");
      return true;
    });
  } catch (const json::parse_error& error) {
    problems.add("", "is no JSON: at byte " + std::to_string(error.byte));
    problems.check(file);
  } catch (const std::length_error& error) {
    problems.add("", error.what());
    problems.check(file);
  }
  if (!document.is_object())
    problems.add("", expected("an object", document));
  else
    read(Node(&document, "", problems));
  problems.check(file);
}

}  // namespace oci::detail
