#include "builder/sys/url_credentials.hh"

#include <doctest/doctest.h>

using namespace kiln;

TEST_CASE("user information of URLs is left out, wherever it stands in a text") {
  CHECK(without_credentials("https://host/x@y") == "https://host/x@y");
  CHECK(without_credentials("https://u:p@host:8/x?y=a@b") == "https://…@host:8/x?y=a@b");
  CHECK(without_credentials("https://token@host/r.git#ref:dir") == "https://…@host/r.git#ref:dir");
  CHECK(without_credentials("ADD https://u:p@a/ http://u:p@w@b/c /d") ==
        "ADD https://…@a/ http://…@b/c /d");
  CHECK(without_credentials("git://u:p@host") == "git://…@host");
  CHECK(without_credentials("ssh://git@host/r") == "ssh://git@host/r");
  CHECK(without_credentials("ssh://git:p@host/r") == "ssh://…@host/r");
  CHECK(without_credentials("git@host:r.git") == "git@host:r.git");
  CHECK(without_credentials("://@") == "://…@");
  CHECK(without_credentials("a://") == "a://");
  CHECK(without_credentials("\"http://u:p@h\" mail@x") == "\"http://…@h\" mail@x");
}

TEST_CASE("masked credentials keep their columns") {
  CHECK(with_masked_credentials("ADD http://me:pw@h/x /y") == "ADD http://*****@h/x /y");
}
