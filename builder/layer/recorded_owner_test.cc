#include "builder/layer/recorded_owner.hh"

#include <doctest/doctest.h>

using namespace kiln;

TEST_CASE("recorded owners survive being written and read") {
  for (const Owner o : {Owner{33, 33}, Owner{0, 4}, Owner{1000, 0}, Owner{4294967294, 300}})
    CHECK(decode_owner(encode_owner(o)) == o);
  CHECK(encode_owner({0, 0}).empty());
  // Bytes as the project's own Go library writes them.
  CHECK(encode_owner({33, 300}) == std::string("\x08\x21\x10\xac\x02", 5));
}

TEST_CASE("what is no record is refused") {
  CHECK(!decode_owner("\x08"));
  CHECK(!decode_owner("\x08\xff"));
  CHECK(!decode_owner("\x1a\x01x"));
  CHECK(!decode_owner(std::string("\x08\xff\xff\xff\xff\x7f", 6)));
}
