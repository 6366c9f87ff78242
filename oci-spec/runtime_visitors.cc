#include "oci-spec/runtime_visitors.hh"

#include <algorithm>

namespace oci {

void JsonReader::read(const JsonNode& node, bool& out) {
  if (node.type() != JsonType::boolean) return unexpected("a boolean", node);
  out = node.text() == "true";
}

void JsonReader::read(const JsonNode& node, std::string& out) {
  if (node.type() != JsonType::string) return unexpected("a string", node);
  // Every string ends up in a system call or a file, where a NUL would cut it short.
  if (node.text().find('\0') != node.text().npos)
    return problem("must not contain a NUL character");
  out = node.text();
}

bool JsonReader::read_integer(const JsonNode& node, int64_t& negative, uint64_t& positive) {
  if (node.type() != JsonType::number) {
    unexpected("an integer", node);
    return false;
  }
  const char* const begin = node.text().data();
  const char* const end = begin + node.text().size();
  const std::from_chars_result r =
      *begin == '-' ? std::from_chars(begin, end, negative) : std::from_chars(begin, end, positive);
  if (r.ec == std::errc() && r.ptr == end) return true;
  const bool whole = node.text().find_first_of(".eE") == node.text().npos;
  problem(whole ? "the number " + std::string(node.text()) + " does not fit 64 bits"
                : "expected an integer, got " + std::string(node.text()));
  return false;
}

const JsonNode* JsonReader::find(std::string_view name) {
  const JsonNode* const end = object_->end();
  const JsonNode* found = nullptr;
  if (expected_ != end && expected_->key() == name) {
    found = expected_;
  } else {
    for (const JsonNode* n = object_->begin(); n != end && !found; n = n->next())
      if (n->key() == name) found = n;
  }
  if (!found) return nullptr;
  expected_ = found->next();
  for (const JsonNode* n = expected_; n != end; n = n->next())
    if (n->key() == name) problem_at(name, "is there twice");
  return found->type() == JsonType::null ? nullptr : found;
}

void JsonReader::one_of(std::string_view name, const std::string& value,
                        std::initializer_list<std::string_view> allowed) {
  if (value.empty() || std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
  std::string text = "expected one of";
  for (std::string_view a : allowed) text.append(" ").append(a);
  check(false, name, text + ", got \"" + value + "\"");
}

std::string JsonReader::path_text() const {
  std::string text;
  for (const Step& step : path_) {
    if (step.key.data() == nullptr) {
      text += "[" + std::to_string(step.index) + "]";
    } else if (step.key.find_first_of(".[]\" ") != step.key.npos || step.key.empty()) {
      text.append("[\"").append(step.key).append("\"]");
    } else {
      if (!text.empty()) text += '.';
      text += step.key;
    }
  }
  return text;
}

void JsonReader::problem(std::string message) {
  problems_.push_back({path_text(), std::move(message)});
}

void JsonReader::problem_at(std::string_view name, std::string message) {
  path_.push_back({name, 0});
  problem(std::move(message));
  path_.pop_back();
}

bool JsonReader::has_problem(std::string_view name) const {
  if (problems_.empty()) return false;
  std::string path = path_text();
  if (!path.empty()) path += '.';
  path += name;
  return std::any_of(problems_.begin(), problems_.end(),
                     [&](const Problem& p) { return p.path.starts_with(path); });
}

void JsonReader::unexpected(std::string_view wanted, const JsonNode& got) {
  problem("expected " + std::string(wanted) + ", got " + std::string(json_type_name(got.type())));
}

}  // namespace oci
