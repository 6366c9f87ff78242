// Owns: the part of Go's templates that people give to --format: fields, `json`, `index` and text.
// Does not own: the data.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace kiln::cli {

// "{{.Id}} {{json .Config.Env}} {{index .RepoTags 0}}": each action replaced by its value; "json"
// alone as the whole text writes all of it. `\n` and `\t` in the text are escapes, as the shell
// seldom makes them. Throws UsageError for what it does not know.
std::string render(std::string_view text, const nlohmann::ordered_json& data);

// `value` as JSON text, malformed UTF-8 replaced, and all that a terminal could obey escaped.
// `indent`: spaces, -1 for one line.
std::string json_text(const nlohmann::ordered_json& value, int indent = -1);

}  // namespace kiln::cli
