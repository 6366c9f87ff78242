#include "runtime/cli/option.hh"

#include <stdexcept>

#include "runtime/sys/number.hh"

namespace vessel::cli {

namespace {

const Option* look_up(const std::vector<Option>& options, std::string_view name) {
  for (const Option& o : options)
    if (o.name == name || (name.size() == 1 && o.short_name == name[0])) return &o;
  return nullptr;
}

// "-it": several switches by their letters. All of them or none.
bool add_switches(std::string_view letters, const std::vector<Option>& options,
                  std::map<std::string, std::vector<std::string>>& values) {
  std::vector<const Option*> found;
  for (char letter : letters) {
    const Option* option = look_up(options, std::string_view(&letter, 1));
    if (!option || !option->value.empty()) return false;
    found.push_back(option);
  }
  for (const Option* option : found) values[std::string(option->name)].push_back("true");
  return true;
}

constexpr Option help_option{.name = "help", .short_name = 'h', .help = "show help"};

}  // namespace

const Option& Arguments::find(std::string_view name) const {
  if (name == "help") return help_option;
  for (const Option& o : *options_)
    if (o.name == name) return o;
  throw std::logic_error("no option --" + std::string(name) + " in the table");
}

bool Arguments::flag(std::string_view name) const {
  find(name);
  auto at = values_.find(std::string(name));
  return at != values_.end() && at->second.back() == "true";
}

std::string Arguments::value(std::string_view name) const {
  const Option& option = find(name);
  auto at = values_.find(std::string(name));
  return at == values_.end() ? std::string(option.default_value) : at->second.back();
}

std::vector<std::string> Arguments::values(std::string_view name) const {
  find(name);
  auto at = values_.find(std::string(name));
  return at == values_.end() ? std::vector<std::string>{} : at->second;
}

Arguments Arguments::parse(const std::vector<std::string>& words,
                           const std::vector<Option>& options, bool options_first) {
  Arguments result;
  result.options_ = &options;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      result.operands_.insert(result.operands_.end(), words.begin() + static_cast<long>(i) + 1,
                              words.end());
      break;
    }
    // A single dash is an operand (update --resources - has its as a value).
    if (word.size() < 2 || word[0] != '-') {
      if (options_first) {
        result.operands_.assign(words.begin() + static_cast<long>(i), words.end());
        break;
      }
      result.operands_.push_back(word);
      continue;
    }
    std::string_view name = std::string_view(word).substr(word[1] == '-' ? 2 : 1);
    size_t equals = name.find('=');
    std::string_view attached =
        equals == std::string_view::npos ? std::string_view{} : name.substr(equals + 1);
    name = name.substr(0, equals);
    const Option* option = look_up(options, name);
    if (!option && (name == "help" || name == "h")) option = &help_option;
    if (!option && word[1] != '-' && add_switches(name, options, result.values_)) continue;
    if (!option) throw UsageError("flag provided but not defined: -" + std::string(name));
    std::string value;
    if (option->value.empty()) {
      value =
          equals == std::string_view::npos || bool_of(attached, option->name) ? "true" : "false";
    } else if (equals != std::string_view::npos) {
      value = attached;
    } else if (i + 1 < words.size()) {
      value = words[++i];
    } else {
      throw UsageError("flag needs an argument: -" + std::string(name));
    }
    result.values_[std::string(option->name)].push_back(std::move(value));
  }
  return result;
}

uint32_t count_of(const Arguments& arguments, std::string_view name) {
  std::string text = arguments.value(name);
  if (text.empty()) return 0;
  auto number = parse_number<uint32_t>(text, 0, 65536);
  if (!number)
    throw UsageError("--" + std::string(name) + ": expected a number of at most 65536, got \"" +
                     text + "\"");
  return *number;
}

bool bool_of(std::string_view text, std::string_view name) {
  for (std::string_view yes : {"true", "TRUE", "True", "t", "T", "1"})
    if (text == yes) return true;
  for (std::string_view no : {"false", "FALSE", "False", "f", "F", "0"})
    if (text == no) return false;
  throw UsageError("invalid boolean value \"" + std::string(text) + "\" for -" + std::string(name));
}

}  // namespace vessel::cli
