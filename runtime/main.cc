#include <unistd.h>

#include "runtime/cli/program.hh"

int main(int argc, char** argv) {
  return vessel::cli::run_program(argc, argv, environ);
}
