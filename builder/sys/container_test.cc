#include "builder/sys/container.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "builder/sys/file.hh"
#include "builder/sys/test_directory.hh"

namespace kiln {
namespace {

struct Place : TestDirectory {
  ContainerSigns signs;
  Place() {
    signs = {path, path + "/proc"};
    std::filesystem::create_directories(path + "/proc/self/ns");
    std::filesystem::create_directories(path + "/proc/1");
    std::filesystem::create_directories(path + "/run");
    pids("pid:[4026532201]");
    mounts("30 29 0:60 / / rw,relatime - overlay overlay rw,lowerdir=x\n");
    unsetenv("container");
    unsetenv("KUBERNETES_SERVICE_HOST");
  }
  void pids(const std::string& text) const {
    std::filesystem::remove(path + "/proc/self/ns/pid");
    std::filesystem::create_symlink(text, path + "/proc/self/ns/pid");
  }
  void mounts(const std::string& text) const { write("/proc/self/mountinfo", text); }
  void write(const std::string& name, const std::string& text) const {
    write_file_atomic(AT_FDCWD, path + name, text);
  }
};

}  // namespace

TEST_CASE("a container has a sign, processes and a root of its own") {
  const Place at;
  CHECK_FALSE(find_container(at.signs));
  at.write("/.dockerenv", "");
  CHECK(find_container(at.signs) == "/.dockerenv");
  // A machine that was made from an image has the file, too.
  at.mounts("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n");
  CHECK(find_container(at.signs).error().find("/dev/vda") != std::string::npos);
  at.mounts(
      "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 254:0 /var/lib/c/rootfs / rw - ext4 "
      "/dev/vda rw\n");
  CHECK(find_container(at.signs));
  at.pids("pid:[4026531836]");
  CHECK(find_container(at.signs).error().find("of the machine") != std::string::npos);
  at.pids("pid:[4026532201]");
  at.mounts("");
  CHECK_FALSE(find_container(at.signs));
}

TEST_CASE("signs of engines") {
  const Place at;
  at.write("/proc/1/environ", std::string("PATH=/bin\0container=\0", 21));
  CHECK_FALSE(find_container(at.signs));
  at.write("/proc/1/environ", std::string("PATH=/bin\0container=podman\0", 27));
  CHECK(find_container(at.signs) == "container=podman of process 1");
  at.write("/proc/1/environ", "");
  at.write("/run/.containerenv", "");
  CHECK(find_container(at.signs) == "/run/.containerenv");
  std::filesystem::remove(at.path + "/run/.containerenv");
  setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
  CHECK(find_container(at.signs) == "KUBERNETES_SERVICE_HOST");
  unsetenv("KUBERNETES_SERVICE_HOST");
}

}  // namespace kiln
