#include <malloc.h>

#include <string>
#include <vector>

#include "builder/cli/verbs.hh"

int main(int argc, char** argv) {
  // Buffers of layers go back to the kernel when they are done with. By itself glibc moves the size
  // from which it does so up to the largest one that was ever freed, and keeps them in the heap of
  // the thread that made them.
  mallopt(M_MMAP_THRESHOLD, 512 << 10);
  mallopt(M_TRIM_THRESHOLD, 1 << 20);
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  return kiln::cli::main(words);
}
