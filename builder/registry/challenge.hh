// Owns: reading WWW-Authenticate headers (RFC 9110 section 11.6.1). Does not own: answering them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace kiln {

struct Challenge {
  std::string scheme;                             // lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  // names in lower case
};

// All challenges of one header value, in order; what cannot be read ends the list.
std::vector<Challenge> parse_challenges(std::string_view value);

}  // namespace kiln
