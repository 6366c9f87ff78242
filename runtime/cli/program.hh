// Owns: the way from argv to a verb and from its outcome to the exit code.
// Does not own: the verbs.
#pragma once

namespace vessel::cli {

// The exit code: 0, the verb's own, 1 for errors, 3 for an unknown verb.
int run_program(int argc, char** argv, char** envp);

}  // namespace vessel::cli
