#include "builder/registry/challenge.hh"

#include <algorithm>

namespace kiln {

namespace {

bool is_token(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  void skip(std::string_view characters) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(characters), rest_.size()));
  }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::string_view token() {
    const size_t n = static_cast<size_t>(std::ranges::find_if_not(rest_, is_token) - rest_.begin());
    const std::string_view result = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return result;
  }
  // A token, or a quoted string with its escapes undone; false when the quote never ends.
  bool value(std::string& out) {
    if (!take('"')) {
      out = token();
      return true;
    }
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (c == '\\' && !rest_.empty()) {
        c = rest_.front();
        rest_.remove_prefix(1);
      }
      out += c;
    }
    return false;
  }
  bool at_parameter() const {
    const size_t n = static_cast<size_t>(std::ranges::find_if_not(rest_, is_token) - rest_.begin());
    const size_t equals = rest_.find_first_not_of(" \t", n);
    return n > 0 && equals != rest_.npos && rest_[equals] == '=';
  }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view value) {
  std::vector<Challenge> result;
  Reader reader(value);
  while (true) {
    reader.skip(" \t,");
    if (reader.empty()) return result;
    if (!reader.at_parameter()) {
      const std::string_view scheme = reader.token();
      if (scheme.empty()) return result;
      result.push_back({lower(scheme), {}});
      continue;
    }
    const std::string name = lower(reader.token());
    reader.skip(" \t");
    reader.take('=');
    reader.skip(" \t");
    std::string text;
    if (!reader.value(text) || result.empty()) return result;
    result.back().parameters.emplace(name, std::move(text));  // the first of two equal names
  }
}

}  // namespace kiln
