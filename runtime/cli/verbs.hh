// Owns: the list of all verbs and of the global options, for main, help, completion and the manual.
// Does not own: what they do.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "runtime/cli/verb.hh"

namespace vessel::cli {

const std::vector<Option>& global_options();
const std::vector<Verb>& verbs();
// One, without making the tables of the others.
std::optional<Verb> find_verb(std::string_view name);
// A visible verb whose name is a slip or two away from `name`; null when there is none.
const Verb* nearest_verb(std::string_view name);

// One each file.
Verb create_verb();
Verb run_verb();
Verb exec_verb();
Verb start_verb();
Verb state_verb();
Verb list_verb();
Verb ps_verb();
Verb events_verb();
Verb kill_verb();
Verb delete_verb();
Verb pause_verb();
Verb resume_verb();
Verb update_verb();
Verb plan_verb();
Verb check_verb();
Verb spec_verb();
Verb features_verb();
Verb checkpoint_verb();
Verb restore_verb();
Verb completion_verb();
Verb logs_verb();
Verb stop_verb();
Verb wait_verb();
Verb inspect_verb();
Verb stats_verb();
Verb start_again_verb();

}  // namespace vessel::cli
