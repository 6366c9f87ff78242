// Owns: the session keyring of a container. Does not own: labels of keys (labels.hh).
#pragma once

#include <string>

namespace vessel {

// Joins the session keyring "_ses.ID", made if it does not exist, so that the caller's keys are out
// of reach. For init (not exec) search permission is added: for others in a new user namespace, for
// the owner without. A kernel without keyrings is no error. Throws SysError.
void join_session_keyring(const std::string& id, bool is_init, bool new_user_namespace);

}  // namespace vessel
