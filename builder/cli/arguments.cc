#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "builder/cli/verb.hh"

namespace kiln::cli {

namespace {

std::string see(const Verb& verb) {
  return "; see 'kiln " + std::string(verb.name) + " --help'";
}

const Option* find(std::span<const Option> table, std::string_view name) {
  const auto it = std::ranges::find(table, name, &Option::name);
  return it == table.end() ? nullptr : &*it;
}

const Option* find(std::span<const Option> table, char letter) {
  const auto it = std::ranges::find(table, letter, &Option::letter);
  return it == table.end() ? nullptr : &*it;
}

bool among(std::string_view choices, std::string_view value) {
  for (size_t at = 0; at <= choices.size();) {
    const size_t bar = std::min(choices.find('|', at), choices.size());
    if (choices.substr(at, bar - at) == value) return true;
    at = bar + 1;
  }
  return false;
}

std::string spelled(const Option& option) {
  return "--" + std::string(option.name);
}

// Reads the words of one command line; `at` is the word being read.
struct Reader {
  const Verb& verb;
  std::span<const Option> globals;
  std::span<const std::string> words;
  std::vector<Arguments::Given>& given;
  size_t at = 0;

  [[noreturn]] void unknown(const std::string& shown, std::string_view name) const {
    std::vector<std::string_view> names;
    for (const Option& o : verb.options) names.push_back(o.name);
    for (const Option& o : globals) names.push_back(o.name);
    const std::string_view near = name.size() > 1 ? nearest(name, names) : std::string_view();
    throw UsageError("unknown option " + shown +
                     (near.empty() ? "" : ", did you mean --" + std::string(near) + "?") +
                     see(verb));
  }

  void take(const Option& option, std::string value) {
    if (!option.choices.empty() && !among(option.choices, value))
      throw UsageError(spelled(option) + " is '" + value + "', expected one of " +
                       std::string(option.choices) + see(verb));
    if (!option.repeated && !option.argument.empty() &&
        std::ranges::any_of(given, [&](const auto& g) { return g.option == &option; }))
      throw UsageError(spelled(option) + " given twice" + see(verb));
    given.push_back({&option, std::move(value)});
  }

  std::string next_value(const Option& option) {
    if (at + 1 >= words.size())
      throw UsageError(spelled(option) + " needs a value (" + std::string(option.argument) + ")" +
                       see(verb));
    return words[++at];
  }

  void long_option(std::string_view word) {
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(2, equals == word.npos ? equals : equals - 2);
    const Option* option = find(verb.options, name);
    if (option == nullptr) option = find(globals, name);
    if (option == nullptr) unknown("--" + std::string(name), name);
    if (equals == word.npos && !option->implied.empty()) {
      take(*option, std::string(option->implied));
      return;
    }
    if (!option->argument.empty()) {
      take(*option,
           equals == word.npos ? next_value(*option) : std::string(word.substr(equals + 1)));
      return;
    }
    const std::string_view value = equals == word.npos ? "true" : word.substr(equals + 1);
    if (value != "true" && value != "false")
      throw UsageError(spelled(*option) + " is a switch: '" + std::string(value) +
                       "' is neither true nor false" + see(verb));
    take(*option, std::string(value));
  }

  void short_options(std::string_view word) {
    for (size_t i = 1; i < word.size(); ++i) {
      const Option* option = find(verb.options, word[i]);
      if (option == nullptr) option = find(globals, word[i]);
      if (option == nullptr) unknown("-" + std::string(1, word[i]), word.substr(i, 1));
      if (option->argument.empty()) {
        take(*option, "true");
        continue;
      }
      std::string_view rest = word.substr(i + 1);
      if (rest.starts_with('=')) rest.remove_prefix(1);
      take(*option, i + 1 < word.size() ? std::string(rest) : next_value(*option));
      return;
    }
  }
};

}  // namespace

Arguments parse(const Verb& verb, std::span<const Option> globals,
                std::span<const std::string> words) {
  Arguments result;
  result.verb_ = &verb;
  result.globals_ = globals;
  Reader reader{verb, globals, words, result.given_};
  bool options_over = false;
  for (; reader.at < words.size(); ++reader.at) {
    const std::string& word = words[reader.at];
    if (options_over || word.size() < 2 || word[0] != '-') {
      result.operands_.push_back(word);
      if (verb.stop_at_operand && result.operands_.size() >= verb.least) options_over = true;
    } else if (word == "--") {
      options_over = true;
      result.dashes_ = result.operands_.size();
    } else if (word[1] == '-') {
      reader.long_option(word);
    } else {
      reader.short_options(word);
    }
  }
  if (result.has("help")) return result;
  if (result.operands_.size() < verb.least)
    throw UsageError("expected " + std::string(verb.operands) + see(verb));
  if (result.operands_.size() > verb.most)
    throw UsageError("unexpected '" + result.operands_[verb.most] + "'" + see(verb));
  return result;
}

const Option& Arguments::declared(std::string_view name) const {
  const Option* option = find(verb_->options, name);
  if (option == nullptr) option = find(globals_, name);
  if (option == nullptr)
    throw std::logic_error("verb " + std::string(verb_->name) + " has no option --" +
                           std::string(name));
  return *option;
}

bool Arguments::has(std::string_view name) const {
  const Option& option = declared(name);
  bool on = false;
  for (const Given& g : given_)
    if (g.option == &option) on = !option.argument.empty() || g.value == "true";
  return on;
}

std::optional<std::string> Arguments::value(std::string_view name) const {
  const Option& option = declared(name);
  std::optional<std::string> result;
  if (!option.initial.empty()) result = option.initial;
  for (const Given& g : given_)
    if (g.option == &option) result = g.value;
  return result;
}

std::vector<std::string> Arguments::values(std::string_view name) const {
  const Option& option = declared(name);
  std::vector<std::string> result;
  for (const Given& g : given_)
    if (g.option == &option) result.push_back(g.value);
  if (result.empty() && !option.initial.empty()) result.emplace_back(option.initial);
  return result;
}

std::span<const std::string> Arguments::after_dashes() const {
  return dashes_ ? std::span(operands_).subspan(*dashes_) : std::span<const std::string>();
}

int64_t parse_number(std::string_view text, std::string_view what, int64_t least, int64_t most) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    throw UsageError(std::string(what) + ": '" + std::string(text) + "' is not a whole number");
  if (value < least || value > most)
    throw UsageError(std::string(what) + ": " + std::string(text) + " is out of range");
  return value;
}

int64_t parse_size(std::string_view text, std::string_view what) {
  const auto bad = [&] {
    return UsageError(std::string(what) + ": '" + std::string(text) +
                      "' is not a size, expected a number with an optional b, k, m, g or t");
  };
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || text.empty() || !std::isfinite(value) || value < 0) throw bad();
  std::string unit(end, text.data() + text.size());
  for (char& c : unit)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (unit.size() > 1 && unit.ends_with("ib")) unit.resize(unit.size() - 2);
  if (unit.size() > 1 && unit.ends_with("b")) unit.resize(unit.size() - 1);
  static constexpr std::string_view units = "bkmgt";
  const size_t power = unit.empty() ? 0 : unit.size() == 1 ? units.find(unit[0]) : units.npos;
  if (power == units.npos) throw bad();
  const double bytes = value * std::pow(1024.0, static_cast<double>(power));
  if (bytes > 9e18)
    throw UsageError(std::string(what) + ": " + std::string(text) + " is too large");
  return static_cast<int64_t>(bytes);
}

}  // namespace kiln::cli
