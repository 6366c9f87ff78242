// Owns: the protocol of docker-credential-NAME programs. Does not own: which one is asked.
#pragma once

#include <optional>
#include <string>

#include "builder/registry/credentials.hh"

namespace kiln {

// `server` is what the helper knows the registry by. nullopt when it has none. Secrets pass through
// pipes only. Throws Error when the program is missing, fails, or takes longer than 30 seconds.
std::optional<Credentials> ask_helper(const std::string& name, const std::string& server);
void tell_helper(const std::string& name, const std::string& server,
                 const Credentials& credentials);
bool helper_forgets(const std::string& name, const std::string& server);

}  // namespace kiln
