#include "builder/cli/template.hh"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "builder/cli/output.hh"
#include "builder/cli/verb.hh"
#include "builder/sys/number.hh"

namespace kiln::cli {

namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> words(std::string_view action) {
  std::vector<std::string> result;
  while (true) {
    const size_t start = action.find_first_not_of(" \t");
    if (start == action.npos) return result;
    action.remove_prefix(start);
    size_t end = action.find_first_of(" \t");
    if (action[0] == '"') {
      end = action.find('"', 1);
      if (end == action.npos) throw UsageError("--format: a quote is not closed");
      ++end;
    }
    result.emplace_back(action.substr(0, end));
    action.remove_prefix(std::min(end, action.size()));
  }
}

// ".A.B" in `data`.
Json field(const std::string& path, const Json& data) {
  if (path.empty() || path[0] != '.')
    throw UsageError("--format: '" + path + "' is no field, expected like .Id");
  const Json* at = &data;
  std::string_view rest = std::string_view(path).substr(1);
  while (!rest.empty()) {
    const size_t dot = std::min(rest.find('.'), rest.size());
    const std::string name(rest.substr(0, dot));
    const auto it = at->is_object() ? at->find(name) : at->end();
    if (it == at->end()) {
      std::string known;
      if (at->is_object())
        for (const auto& [key, value] : at->items()) known += (known.empty() ? "" : ", ") + key;
      throw UsageError("--format: no field '" + name + "' in " + path +
                       (known.empty() ? "" : ", there are: " + known));
    }
    at = &*it;
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  return *at;
}

Json element(const Json& of, const std::string& key) {
  if (of.is_array()) {
    const auto i = kiln::parse_number<size_t>(key);
    if (!i || *i >= of.size()) throw UsageError("--format: index " + key + " is out of range");
    return of[*i];
  }
  const std::string name = key.size() > 1 && key[0] == '"' ? key.substr(1, key.size() - 2) : key;
  return of.is_object() && of.contains(name) ? of[name] : Json();
}

std::string shown(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return printable(value.get_ref<const std::string&>());
  if (!value.is_array()) return json_text(value);
  std::string text = "[";
  for (const Json& item : value) text += (text.size() > 1 ? " " : "") + shown(item);
  return text + "]";
}

std::string evaluate(std::string_view action, const Json& data) {
  const auto w = words(action);
  if (w.empty()) throw UsageError("--format: an action is empty");
  if (w[0] == "json" && w.size() == 2) return json_text(field(w[1], data));
  if (w[0] == "index" && w.size() >= 3) {
    Json value = field(w[1], data);
    for (size_t i = 2; i < w.size(); ++i) value = element(value, w[i]);
    return shown(value);
  }
  if (w.size() == 1) return shown(field(w[0], data));
  throw UsageError("--format: cannot evaluate '" + std::string(action) +
                   "', expected {{.Field}}, {{json .Field}} or {{index .Field KEY}}");
}

}  // namespace

std::string json_text(const Json& value, int indent) {
  std::string text = value.dump(indent, ' ', false, Json::error_handler_t::replace);
  // JSON lets them stand, terminals obey them: U+007F and the C1 controls, U+0080 to U+009F.
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    const bool c1 = byte == 0xc2 && next < 0xa0;
    if (byte != 0x7f && !c1) continue;
    char escape[8];
    snprintf(escape, sizeof escape, "\\u%04x", c1 ? next : byte);
    text.replace(i, c1 ? 2 : 1, escape);
  }
  return text;
}

std::string render(std::string_view text, const Json& data) {
  if (text == "json") return json_text(data);
  std::string out;
  while (!text.empty()) {
    if (text.starts_with("{{")) {
      const size_t end = text.find("}}");
      if (end == text.npos) throw UsageError("--format: '{{' is not closed");
      out += evaluate(text.substr(2, end - 2), data);
      text.remove_prefix(end + 2);
    } else if (text.starts_with("\\n") || text.starts_with("\\t")) {
      out += text[1] == 'n' ? '\n' : '\t';
      text.remove_prefix(2);
    } else {
      out += text[0];
      text.remove_prefix(1);
    }
  }
  return out;
}

}  // namespace kiln::cli
