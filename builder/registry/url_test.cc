#include "builder/registry/url.hh"

#include <doctest/doctest.h>

using namespace kiln;

TEST_CASE("URLs: origin and what is refused") {
  const auto url = parse_url("https://Registry.Example:5000/v2/?a=b#c");
  REQUIRE(url.has_value());
  CHECK(url->origin() == "https://registry.example:5000");
  CHECK(url->authority() == "registry.example:5000");
  CHECK(url->text.find('#') == std::string::npos);
  CHECK(parse_url("https://a/")->origin() == parse_url("https://a:443/x")->origin());
  CHECK(parse_url("https://a/")->origin() != parse_url("http://a/")->origin());
  for (const std::string bad : {"", "a/b", "ftp://a/", "file:///etc/passwd", "https://u:p@a/",
                                "http://a/ b", "http://a/\r\nX: y"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_url(bad).has_value());
  }
}

TEST_CASE("URLs: where a Location leads") {
  const Url base = *parse_url("https://a:5000/v2/x/blobs/uploads/?q=1");
  CHECK(resolve_url(base, "/v2/y?s=1")->text == "https://a:5000/v2/y?s=1");
  CHECK(resolve_url(base, "7?s=1")->text == "https://a:5000/v2/x/blobs/uploads/7?s=1");
  CHECK(resolve_url(base, "http://b/z")->origin() == "http://b:80");
  CHECK(resolve_url(base, "//b/z")->origin() == "https://b:443");
  CHECK_FALSE(resolve_url(base, "").has_value());
  CHECK_FALSE(resolve_url(base, "file:///etc/passwd").has_value());
  CHECK_FALSE(resolve_url(base, "https://u@b/").has_value());
}

TEST_CASE("URLs: queries and this machine") {
  std::string url = "https://a/t";
  add_query(url, "scope", "repository:a/b:pull,push");
  add_query(url, "x", "1 2&3");
  CHECK(url == "https://a/t?scope=repository%3Aa%2Fb%3Apull%2Cpush&x=1%202%263");
  for (const char* here :
       {"localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"})
    CHECK(is_loopback(here));
  for (const char* away :
       {"127.example", "127.0.0.1.example:80", "localhost.example", "[::2]", "10.0.0.1"})
    CHECK_FALSE(is_loopback(away));
}
