// Owns: a directory for one unit test, gone with it. Does not own: what tests put there.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>

#include <string>

#include "builder/sys/fd.hh"
#include "builder/sys/file.hh"

namespace kiln {

struct TestDirectory {
  std::string path = "/tmp/kiln-units.XXXXXX";
  Fd fd;

  TestDirectory() {
    REQUIRE(::mkdtemp(path.data()) != nullptr);
    fd = Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(fd);
  }
  ~TestDirectory() { remove_tree_at(AT_FDCWD, path); }
  TestDirectory(const TestDirectory&) = delete;
  TestDirectory& operator=(const TestDirectory&) = delete;
};

}  // namespace kiln
