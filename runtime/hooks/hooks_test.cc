#include "runtime/hooks/hooks.hh"

#include <doctest/doctest.h>

#include <cstdlib>

#include "runtime/sys/error.hh"
#include "runtime/sys/file.hh"

using namespace vessel;

namespace {

oci::Hook shell(const std::string& script) {
  oci::Hook hook;
  hook.path = "/bin/sh";
  hook.args = {"sh", "-c", script};
  return hook;
}

std::string message_of(const std::vector<oci::Hook>& hooks, const std::string& directory = {}) {
  try {
    run_hooks("prestart", hooks, {"{\"id\":\"c1\"}", directory, {}});
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("hooks read the state and stop at the first that fails") {
  char name[] = "/tmp/vessel-hook-XXXXXX";
  REQUIRE(::mkdtemp(name));
  std::string out = std::string(name) + "/out";
  std::string append = "cat >>" + out + "; echo \"$X-$HOME\" >>" + out;
  oci::Hook with_env = shell(append);
  with_env.env = {{"X=1"}};
  CHECK(message_of({with_env, shell(append), shell("echo oops >&2; exit 3"), shell(append)}) ==
        "prestart hook 2 (/bin/sh): exit status 3: oops");
  CHECK(read_file(out) == "{\"id\":\"c1\"}1-\n{\"id\":\"c1\"}-\n");
  ::unlink(out.c_str());
  ::rmdir(name);
}

TEST_CASE("hooks run in the directory that is asked for, or stay where they are") {
  CHECK(message_of({shell("pwd; exit 1")}, "/usr") ==
        "prestart hook 0 (/bin/sh): exit status 1: /usr");
  const std::vector<oci::Hook> tells = {shell("pwd; exit 1")};
  CHECK(message_of(tells, "/nonexistent/bundle") == message_of(tells));
}

TEST_CASE("a hook that hangs is killed, one that is missing is named") {
  oci::Hook slow = shell("exec sleep 100");
  slow.timeout = 1;
  CHECK(message_of({slow}) == "prestart hook 0 (/bin/sh): timed out");
  oci::Hook missing;
  missing.path = "/nonexistent/hook";
  CHECK(message_of({missing}) ==
        "prestart hook 0 (/nonexistent/hook): exec /nonexistent/hook: No such file or directory");
  CHECK(message_of({shell("kill -9 $$")}) == "prestart hook 0 (/bin/sh): signal 9");
}
