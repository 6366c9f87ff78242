#include "builder/registry/credentials.hh"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <type_traits>

#include "builder/registry/answer.hh"
#include "builder/sys/error.hh"
#include "builder/sys/file.hh"
#include "builder/sys/test_directory.hh"

using namespace kiln;

namespace {

struct Directory : TestDirectory {
  std::string file(std::string_view content) const {
    write_file_atomic(AT_FDCWD, path + "/c.json", content);
    return path + "/c.json";
  }
};

std::string password(std::string_view host, std::string_view path, const std::string& file) {
  const auto found = find_credentials(host, path, file);
  return found ? found->user + "/" + found->password.reveal() : "";
}

// "u:NAME" in base64
std::string entry(const std::string& name) {
  return R"({"auth":")" + base64_encoded("u:" + name) + R"("})";
}

}  // namespace

TEST_CASE("credentials: the longest key that fits counts") {
  const Directory directory;
  const std::string file =
      directory.file(R"({"auths":{"h:5000":)" + entry("host") + R"(,"h:5000/a":)" + entry("a") +
                     R"(,"h:5000/a/b":)" + entry("ab") + R"(,"https://old.example/v2/":)" +
                     entry("old") + R"(,"https://index.docker.io/v1/":)" + entry("hub") + "}}");
  CHECK(password("h:5000", "x", file) == "u/host");
  CHECK(password("h:5000", "a", file) == "u/a");
  CHECK(password("h:5000", "a/b/c", file) == "u/ab");
  CHECK(password("h:5000", "a/bc", file) == "u/a");
  CHECK(password("h", "x", file).empty());
  CHECK(password("h:50000", "x", file).empty());
  CHECK(password("old.example", "x", file) == "u/old");
  CHECK(password("docker.io", "x", file) == "u/hub");
  CHECK(password("registry-1.docker.io", "x", file) == "u/hub");
  CHECK(password("evil.example", "index.docker.io", file).empty());
}

TEST_CASE("credentials: passwords with colons, identity tokens, malformed files") {
  const Directory directory;
  CHECK(password("h", "", directory.file(R"({"auths":{"h":)" + entry("a:b:c") + "}}")) ==
        "u/a:b:c");
  const auto token =
      find_credentials("h", "", directory.file(R"({"auths":{"h":{"identitytoken":"T"}}})"));
  REQUIRE(token.has_value());
  CHECK(token->identity_token.reveal() == "T");
  CHECK_FALSE(find_credentials("h", "", directory.file("")).has_value());
  CHECK_FALSE(find_credentials("h", "", directory.file(R"({"auths":{"h":{}}})")).has_value());
  CHECK_FALSE(find_credentials("h", "", directory.path + "/none").has_value());
  CHECK_THROWS_AS(find_credentials("h", "", directory.file("[1]")), Error);
  try {
    find_credentials("h", "", directory.file(R"({"auths":{"h":{"auth":"SECRET!"}}})"));
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.message().find("SECRET") == std::string::npos);
  }
}

TEST_CASE("credentials: written for their owner alone, the rest of the file kept") {
  const Directory directory;
  const std::string file =
      directory.file(R"({"HttpHeaders":{"X":"y"},"auths":{"other":)" + entry("o") + "}}");
  REQUIRE(chmod(file.c_str(), 0644) == 0);
  CHECK(store_credentials(file, "h:1", {"me", Secret("pass"), {}}).empty());
  struct stat status {};
  REQUIRE(stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(password("h:1", "", file) == "me/pass");
  CHECK(password("other", "", file) == "u/o");
  CHECK(read_file_at(AT_FDCWD, file, 4096).find("HttpHeaders") != std::string::npos);
  CHECK(erase_credentials(file, "h:1"));
  CHECK_FALSE(erase_credentials(file, "h:1"));
  CHECK(password("other", "", file) == "u/o");
  CHECK(erase_all_credentials(file) == 1);
}

TEST_CASE("credentials: base64") {
  CHECK(base64_encoded("") == "");
  CHECK(base64_encoded("f") == "Zg==");
  CHECK(base64_encoded("fo") == "Zm8=");
  CHECK(base64_encoded("foo") == "Zm9v");
  CHECK(base64_encoded("\xff\xfe") == "//4=");
}

// A secret cannot be printed or compared by accident.
static_assert(!std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<Secret, std::string_view>);
