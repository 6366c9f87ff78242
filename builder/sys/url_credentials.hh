// Owns: leaving the user:password@ of URLs out of whatever is shown or kept: messages, progress,
// history, cache records. Does not own: what the credentials are for, or secrets that stand
// elsewhere in a text.
#pragma once

#include <string>
#include <string_view>

namespace kiln {

// Every SCHEME://USER:PASSWORD@ in `text` becomes SCHEME://…@ (BuildKit CVE-2023-26054). A lone
// user name of ssh:// is no secret and stays.
std::string without_credentials(std::string_view text);

// The same with a star for each byte, so that columns stay where they were.
std::string with_masked_credentials(std::string_view text);

}  // namespace kiln
