#include "builder/cli/verbs.hh"

#include <algorithm>

namespace kiln::cli {

extern const Verb build_verb;
extern const Verb bundle_verb;
extern const Verb run_verb;
extern const Verb diff_verb;
extern const Verb doctor_verb;
extern const Verb save_verb;
extern const Verb load_verb;
extern const Verb check_verb;
extern const Verb chroot_runtime_verb;
extern const Verb completion_verb;
extern const Verb copy_verb;
extern const Verb debug_verb;
extern const Verb help_verb;
extern const Verb fsck_verb;
extern const Verb hook_verb;
extern const Verb volume_verb;
extern const Verb history_verb;
extern const Verb images_verb;
extern const Verb import_verb;
extern const Verb inspect_verb;
extern const Verb login_verb;
extern const Verb logout_verb;
extern const Verb prune_verb;
extern const Verb pull_verb;
extern const Verb push_verb;
extern const Verb rmi_verb;
extern const Verb tag_verb;
extern const Verb verify_verb;
extern const Verb version_verb;

namespace {

constexpr Option globals[] = {
    {.name = "store",
     .argument = "DIR",
     .help = "where images and caches are kept (else $KILN_STORE, else the user's data directory)",
     .completes = Completes::directory},
    {.name = "debug", .help = "print each step with its time to standard error"},
    {.letter = 'h', .name = "help", .help = "explain and exit"},
};

// clang-format off
const Verb* const all_verbs[] = {
    &build_verb,
    &run_verb,
    &bundle_verb,
    &pull_verb,
    &push_verb,
    &copy_verb,
    &login_verb,
    &logout_verb,
    &images_verb,
    &tag_verb,
    &rmi_verb,
    &prune_verb,
    &volume_verb,
    &history_verb,
    &inspect_verb,
    &diff_verb,
    &verify_verb,
    &save_verb,
    &load_verb,
    &import_verb,
    &check_verb,
    &fsck_verb,
    &doctor_verb,
    &debug_verb,
    &version_verb,
    &help_verb,
    &completion_verb,
    &chroot_runtime_verb,
    &hook_verb,
};
// clang-format on

}  // namespace

std::span<const Verb* const> verbs() {
  return all_verbs;
}

std::span<const Option> global_options() {
  return globals;
}

const Verb* find_verb(std::string_view name) {
  const auto it = std::ranges::find(all_verbs, name, &Verb::name);
  return it == std::end(all_verbs) ? nullptr : *it;
}

}  // namespace kiln::cli
