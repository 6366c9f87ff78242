#include "builder/sys/user_namespace.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>

#include "builder/sys/file.hh"

using namespace kiln;

TEST_CASE("ranges of a user follow its own id, by name and by number") {
  const char* text =
      "# comment\nother:5000:10\nme:100000:65536\n77:300000:5\nme:x:5\nme:1:\nme:4294967290:100\n"
      "me:9:0\nmeagain:1:1\nme:400000:1";
  const std::vector<IdExtent> wanted = {{1, 100000, 65536}, {65537, 300000, 5}, {65542, 400000, 1}};
  CHECK(parse_subids(text, "me", 77) == wanted);
  CHECK(parse_subids(text, "nobody", 1).empty());
  CHECK(parse_subids("", "me", 77).empty());
  std::string many;
  for (int i = 0; i < 500; ++i) many += "me:" + std::to_string(100000 + i) + ":1\n";
  CHECK(parse_subids(many, "me", 77).size() == subid_limit);
}

namespace {
void put(const std::string& directory, const std::string& path, std::string_view text) {
  const Fd file(open((directory + path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  REQUIRE(file);
  write_all(file.get(), text);
}
}  // namespace

TEST_CASE("the setting that forbids user namespaces is named with its value") {
  char name[] = "/tmp/kiln-proc-XXXXXX";
  REQUIRE(mkdtemp(name) != nullptr);
  const std::string proc = name;
  for (const char* d : {"/sys", "/sys/user", "/sys/kernel", "/self"})
    mkdir((proc + d).c_str(), 0755);
  const auto says = [&](int error, std::string_view text) {
    return why_no_user_namespace(error, proc).find(text) != std::string::npos;
  };
  CHECK(says(EPERM, "forbidden here"));
  put(proc, "/self/status", "Name:\tx\nSeccomp:\t2\n");
  CHECK(says(EPERM, "seccomp"));
  CHECK(says(EPERM, "hostUsers: false"));
  put(proc, "/sys/user/max_user_namespaces", "0\n");
  CHECK(says(ENOSPC, "user.max_user_namespaces is 0"));
  put(proc, "/sys/kernel/unprivileged_userns_clone", "0\n");
  CHECK(says(EPERM, "kernel.unprivileged_userns_clone is 0"));
  CHECK(says(EINVAL, "CONFIG_USER_NS"));
  remove_tree_at(AT_FDCWD, proc);
}
