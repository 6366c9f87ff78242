#include "builder/dockerfile/expander.hh"

#include <utility>

#include "builder/dockerfile/characters.hh"
#include "builder/sys/error.hh"

namespace kiln::dockerfile {

namespace {

constexpr char32_t end_of_text = 0xFFFFFFFF;
// ${a:-${b:-…}} nests by recursion; a Dockerfile is foreign text.
constexpr int deepest = 200;

// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_05_02
bool is_special_parameter(char32_t c) {
  return c == '@' || c == '*' || c == '#' || c == '?' || c == '-' || c == '$' || c == '!' ||
         c == '0';
}

// Splits what is expanded into words: blanks split unless they were quoted or escaped.
class WordList {
 public:
  void add(char32_t c) {
    if (!is_space(c)) return add_raw(c);
    if (in_word_ && !word_.empty()) {
      words_.push_back(std::exchange(word_, {}));
      in_word_ = false;
    }
  }
  void add(std::string_view text) {
    for (const char32_t c : characters(text)) add(c);
  }
  void add_raw(char32_t c) {
    append_character(word_, c);
    in_word_ = true;
  }
  void add_raw(std::string_view text) {
    word_ += text;
    in_word_ = true;
  }
  std::vector<std::string> take() {
    if (!word_.empty()) words_.push_back(std::exchange(word_, {}));
    return std::move(words_);
  }

 private:
  std::vector<std::string> words_;
  std::string word_;
  bool in_word_ = false;
};

class Expander {
 public:
  Expander(std::string_view word, const Lookup& lookup, const ExpandOptions& options)
      : text_(characters(word)), lookup_(lookup), options_(options) {
    if (!text_.empty() && text_[0] == 0xFEFF) at_ = 1;  // byte order mark
  }

  Expanded run() {
    WordList words;
    result_.text = until(end_of_text, options_.raw_escapes, &words);
    result_.words = words.take();
    return std::move(result_);
  }

 private:
  char32_t peek() const { return at_ < text_.size() ? text_[at_] : end_of_text; }
  char32_t next() { return at_ < text_.size() ? text_[at_++] : end_of_text; }
  bool at_end() const { return at_ == text_.size(); }
  bool is_escape(char32_t c) const { return c == static_cast<char32_t>(options_.escape); }

  std::string until(char32_t stop, bool raw_escapes, WordList* words);
  std::string single_quoted();
  std::string double_quoted();
  std::string dollar();
  std::string braced();
  std::string operand(char32_t stop, bool raw_escapes, const char* missing);
  std::string with_modifier(const std::string& name, char32_t modifier, bool null_is_unset);
  std::string replaced(const std::string& name);
  std::string heredoc_start();
  std::string name();
  std::optional<std::string> value(const std::string& name);

  std::vector<char32_t> text_;
  size_t at_ = 0;
  const Lookup& lookup_;
  const ExpandOptions& options_;
  bool raw_escapes_ = false;
  int depth_ = 0;
  Expanded result_;
};

std::string Expander::until(char32_t stop, bool raw_escapes, WordList* words) {
  const bool outer_raw = std::exchange(raw_escapes_, raw_escapes);
  std::string result;
  bool stopped = false;
  while (!at_end()) {
    const char32_t c = peek();
    if (stop != end_of_text && c == stop) {
      next();
      stopped = true;
      break;
    }
    if (c == '$') {
      const std::string text = dollar();
      result += text;
      if (words != nullptr) words->add(text);
    } else if (c == '<' || (!options_.keep_quotes && (c == '\'' || c == '"'))) {
      const std::string text = c == '<'    ? heredoc_start()
                               : c == '\'' ? single_quoted()
                                           : double_quoted();
      result += text;
      if (words != nullptr) words->add_raw(text);
    } else {
      next();
      if (!is_escape(c)) {
        append_character(result, c);
        if (words != nullptr) words->add(c);
        continue;
      }
      if (raw_escapes_) {
        append_character(result, c);
        if (words != nullptr) words->add_raw(c);
      }
      const char32_t escaped = next();
      if (escaped == end_of_text) break;
      append_character(result, escaped);
      if (words != nullptr) words->add_raw(escaped);
    }
  }
  if (stop != end_of_text && !stopped) {
    throw Error("unexpected end of statement while looking for matching " + text_of({stop}));
  }
  raw_escapes_ = outer_raw;
  return result;
}

std::string Expander::single_quoted() {
  std::string result;
  const char32_t quote = next();
  if (options_.raw_quotes) append_character(result, quote);
  for (;;) {
    const char32_t c = next();
    if (c == end_of_text) {
      throw Error("unexpected end of statement while looking for matching single-quote");
    }
    if (c == '\'') {
      if (options_.raw_quotes) append_character(result, c);
      return result;
    }
    append_character(result, c);
  }
}

std::string Expander::double_quoted() {
  std::string result;
  const char32_t quote = next();
  if (options_.raw_quotes) append_character(result, quote);
  for (;;) {
    if (at_end()) {
      throw Error("unexpected end of statement while looking for matching double-quote");
    }
    if (peek() == '"') {
      next();
      if (options_.raw_quotes) append_character(result, quote);
      return result;
    }
    if (peek() == '$') {
      result += dollar();
      continue;
    }
    char32_t c = next();
    if (is_escape(c)) {
      if (raw_escapes_) append_character(result, c);
      if (at_end()) continue;
      // Inside double quotes an escape protects only these; elsewhere it stays as it is.
      if (peek() == '"' || peek() == '$' || is_escape(peek())) c = next();
    }
    append_character(result, c);
  }
}

std::string Expander::dollar() {
  next();
  if (peek() == '{') {
    next();
    if (++depth_ > deepest) throw Error("syntax error: ${} nested too deeply");
    std::string text = braced();
    --depth_;
    return text;
  }
  const std::string variable = name();
  if (variable.empty()) return "$";
  const auto found = value(variable);
  if (!found && options_.keep_unset) return "$" + variable;
  return found.value_or("");
}

std::string Expander::braced() {
  if (at_end()) throw Error("syntax error: missing '}'");
  if (peek() == '{' || peek() == '}' || peek() == ':') {
    throw Error("syntax error: bad substitution");
  }
  const std::string variable = name();
  char32_t modifier = next();
  switch (modifier) {
    case '}': {
      const auto found = value(variable);
      if (!found && options_.keep_unset) return "${" + variable + "}";
      return found.value_or("");
    }
    case '/':
      return replaced(variable);
    case ':':
      return with_modifier(variable, next(), true);
    case '+':
    case '-':
    case '?':
    case '#':
    case '%':
      return with_modifier(variable, modifier, false);
    case end_of_text:
      throw Error("syntax error: missing '}'");
    default:
      throw Error("unsupported modifier (" + text_of({modifier}) + ") in substitution");
  }
}

// The text up to `stop`; running out of text is reported as `missing`.
std::string Expander::operand(char32_t stop, bool raw_escapes, const char* missing) {
  try {
    return until(stop, raw_escapes, nullptr);
  } catch (const Error&) {
    if (at_end()) throw Error(missing);
    throw;
  }
}

std::string Expander::with_modifier(const std::string& variable, char32_t modifier,
                                    bool null_is_unset) {
  std::string sign = null_is_unset ? ":" : "";
  if (modifier != end_of_text) append_character(sign, modifier);
  const bool trims = modifier == '#' || modifier == '%';
  if (null_is_unset && trims) throw Error("unsupported modifier (" + sign + ") in substitution");
  std::string word = operand('}', trims, "syntax error: missing '}'");

  const auto found = value(variable);
  if (!found && options_.keep_unset) return "${" + variable + sign + word + "}";
  const bool absent = !found || (null_is_unset && found->empty());
  switch (modifier) {
    case '-':
      return absent ? word : *found;
    case '+':
      return absent ? std::string() : word;
    case '?':
      if (!absent) return *found;
      if (word.empty()) {
        word = found ? "is not allowed to be empty" : "is not allowed to be unset";
      }
      throw Error(variable + ": " + word);
    case '%':
    case '#': {
      const bool longest = !word.empty() && word[0] == static_cast<char>(modifier);
      const std::string_view pattern = std::string_view(word).substr(longest ? 1 : 0);
      const std::string text = found.value_or("");
      return modifier == '%' ? trim_suffix(text, pattern, longest)
                             : trim_prefix(text, pattern, longest);
    }
    default:
      throw Error("unsupported modifier (" + sign + ") in substitution");
  }
}

std::string Expander::replaced(const std::string& variable) {
  const bool all = peek() == '/';
  if (all) next();
  const std::string pattern = operand('/', true, "syntax error: missing '/' in ${}");
  const std::string replacement = operand('}', true, "syntax error: missing '}'");
  const auto found = value(variable);
  if (!found && options_.keep_unset) {
    return "${" + variable + (all ? "//" : "/") + pattern + "/" + replacement + "}";
  }
  return replace_pattern(found.value_or(""), pattern, replacement, all);
}

// `<<` keeps the blanks between it and its word, so that `<< EOF` is one word.
std::string Expander::heredoc_start() {
  next();
  if (peek() != '<') return "<";
  next();
  std::string result = "<<";
  while (peek() == ' ' || peek() == '\t' || peek() == '\r') {
    append_character(result, next());
  }
  return result;
}

std::string Expander::name() {
  std::string result;
  if (is_digit(peek())) {
    while (is_digit(peek())) append_character(result, next());
    return result;
  }
  if (is_special_parameter(peek())) {
    append_character(result, next());
    return result;
  }
  while (!at_end() && (is_letter(peek()) || is_digit(peek()) || peek() == '_')) {
    append_character(result, next());
  }
  return result;
}

std::optional<std::string> Expander::value(const std::string& variable) {
  auto found = lookup_ ? lookup_(variable) : std::nullopt;
  if (found) {
    result_.matched.insert(variable);
  } else {
    result_.unmatched.insert(variable);
  }
  return found;
}

}  // namespace

Expanded expand_word(std::string_view word, const Lookup& lookup, const ExpandOptions& options) {
  try {
    return Expander(word, lookup, options).run();
  } catch (Error& error) {
    throw error.prepend("failed to process " + go_quoted(word));
  }
}

}  // namespace kiln::dockerfile
