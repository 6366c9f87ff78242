// Owns: finding the program that the container runs and its user's home, from inside its root.
// Does not own: executing it (user_program.cc).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vessel {

// args[0] as execvp would find it with the PATH among `env`, for the credentials of the caller,
// relative to its root and working directory. Throws Error with the texts that engines match:
//   exec: "x": executable file not found in $PATH        (127)
//   exec: "/x": stat /x: no such file or directory       (127)
//   exec: "/etc/passwd": permission denied               (126)
//   exec: "/etc": is a directory                         (126)
std::string find_program(const std::string& name, const std::vector<std::string>& env);

// The home of `uid` in the container's /etc/passwd below `root`: a regular file, through the
// resolver, at most 1 MiB of it. "/" when there is none.
std::string home_of(int root, uint32_t uid);
// The same from the file's text, for tests; empty when the user is not in it.
std::string home_in_passwd(std::string_view text, uint32_t uid);

}  // namespace vessel
