#include <string>
#include <vector>

#include "builder/cli/verbs.hh"

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  return kiln::cli::main(words);
}
