#include <unistd.h>

#include <cstdlib>
#include <exception>

#include "runtime/cli/program.hh"

// libstdc++'s own names the exception's type, and the demangler behind that is 40 KB of a program
// whose size is paid for with each container. Nothing here ends in it: run_program catches all.
namespace __cxxabiv1 {
extern std::terminate_handler __terminate_handler;
std::terminate_handler __terminate_handler = std::abort;
}  // namespace __cxxabiv1

int main(int argc, char** argv) {
  const int code = vessel::cli::run_program(argc, argv, environ);
  // Nothing is left to do at exit: all output goes by write(2). Not under the sanitizers, whose
  // reports do.
#if defined(__SANITIZE_ADDRESS__)
  return code;
#else
  ::_exit(code);
#endif
}
