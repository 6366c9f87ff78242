#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "builder/cli/in_place.hh"
#include "builder/cli/output.hh"
#include "builder/cli/verbs.hh"
#include "builder/dockerfile/source.hh"
#include "builder/store/store.hh"
#include "builder/sys/user_namespace.hh"

namespace kiln::cli {

namespace {

// The store that the command line or the environment names; "" when neither leads to one.
std::string store_of(std::span<const std::string> words) {
  std::string given;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--store" && i + 1 < words.size()) given = words[i + 1];
    if (words[i].starts_with("--store=")) given = words[i].substr(8);
  }
  try {
    return Store::default_directory(given);
  } catch (const std::exception&) {
    return {};
  }
}

// What to do about failures of the machine rather than of what was asked for; a line, or "".
std::string advice(std::string_view message, std::span<const std::string> words) {
  const auto says = [&](int error) { return message.find(error_text(error)) != message.npos; };
  const std::string store = store_of(words);
  if (store.empty()) return {};
  if (says(ENOSPC) || says(EDQUOT))
    return "the store is " + store +
           ": 'kiln prune' removes what no image needs; KILN_STORE or --store name another place";
  struct stat st {};
  // Root of a user namespace does not know the store's owner.
  if (geteuid() != 0 && (says(EACCES) || says(EPERM) || says(EROFS)) &&
      stat(store.c_str(), &st) == 0 &&
      faccessat(AT_FDCWD, store.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) != 0)
    return "the store " + store + " belongs to uid " + std::to_string(st.st_uid) +
           " and you, uid " + std::to_string(geteuid()) +
           ", may not write to it: KILN_STORE or --store name another place";
  return {};
}

void complain(std::string_view verb, std::string_view message, std::string_view hint = {}) {
  std::string text = "kiln: ";
  if (!verb.empty()) text += std::string(verb) + ": ";
  // It may quote what an image, an archive or a registry says.
  text += message_text(message);
  text += '\n';
  if (!hint.empty()) text.append(hint).append("\n");
  // Nothing can be done when standard error is gone.
  if (fwrite(text.data(), 1, text.size(), stderr) != text.size()) return;
}

// `kiln --store DIR images` and `kiln images --store DIR` mean the same: options in front of the
// verb are moved behind it, so one parser sees both. Returns the index of the verb, or
// words.size().
size_t verb_position(std::span<const std::string> words) {
  size_t i = 0;
  while (i < words.size() && words[i].size() > 1 && words[i][0] == '-') {
    const std::string& word = words[i];
    for (const Option& o : global_options())
      if (!o.argument.empty() && word == "--" + std::string(o.name)) ++i;
    ++i;
  }
  return std::min(i, words.size());
}

int without_verb(std::span<const std::string> words) {
  const auto asks = [&](std::string_view a, std::string_view b) {
    return std::ranges::any_of(words, [&](const auto& w) { return w == a || w == b; });
  };
  if (asks("--version", "--version")) return find_verb("version")->run({});
  if (asks("--help", "-h")) {
    print(usage(verbs(), global_options()));
    flush_output();
    return 0;
  }
  for (const std::string& word : words) {
    const auto name = std::string_view(word).substr(0, word.find('='));
    if (std::ranges::none_of(global_options(),
                             [&](const Option& o) { return name == "--" + std::string(o.name); }))
      throw UsageError("unknown option " + word + "; see 'kiln --help'");
  }
  throw UsageError("which verb? See 'kiln --help'");
}

int run(const Verb& verb, std::vector<std::string> words) {
  const Arguments arguments = parse(verb, global_options(), words);
  if (arguments.has("help")) {
    print(usage(verb, global_options()));
    flush_output();
    return 0;
  }
  // Never the way in for another failure: the command has its own to report.
  try {
    recover_in_place(Store::default_directory(arguments.text("store")));
  } catch (const std::exception& error) {
    complain(verb.name, "what a killed build left in this container: " + std::string(error.what()));
  }
  if (verb.needs_ids) enter_user_namespace();
  const int status = verb.run(arguments);
  flush_output();
  return status;
}

}  // namespace

int main(std::span<const std::string> words) {
  std::string_view name;
  int error_exit = 1;
  try {
    const size_t at = verb_position(words);
    if (at == words.size()) return without_verb(words);
    const Verb* verb = find_verb(words[at]);
    if (verb == nullptr) {
      std::vector<std::string_view> names;
      for (const Verb* v : verbs())
        if (!v->hidden) names.push_back(v->name);
      const std::string_view near = nearest(words[at], names);
      throw UsageError("no verb '" + words[at] + "'" +
                       (near.empty() ? "" : ", did you mean '" + std::string(near) + "'?") +
                       "; see 'kiln --help'");
    }
    name = verb->name;
    error_exit = verb->error_exit;
    std::vector<std::string> rest(words.begin(), words.begin() + static_cast<ptrdiff_t>(at));
    rest.insert(rest.end(), words.begin() + static_cast<ptrdiff_t>(at) + 1, words.end());
    return run(*verb, std::move(rest));
  } catch (const dockerfile::DockerfileError& error) {
    complain(name, error.render(), advice(error.message(), words));
    return error_exit;
  } catch (const std::exception& error) {
    complain(name, error.what(), advice(error.what(), words));
    return error_exit;
  }
}

}  // namespace kiln::cli
